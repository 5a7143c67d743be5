// NOT RUN by this project: Gatling is not in a package registry that its tests can use.
//
// Each virtual user takes the next test user of users.csv, and there are as many virtual users as users. In a project created
// from Gatling's Maven template, with this file in src/test/java and users.csv in src/test/resources:
//
//   mvn gatling:test -Dgatling.simulationClass=UsersSimulation -Dtarget=http://127.0.0.1:8080

import static io.gatling.javaapi.core.CoreDsl.*;
import static io.gatling.javaapi.http.HttpDsl.*;

import io.gatling.javaapi.core.*;

public class UsersSimulation extends Simulation {
  // queue: each user once, and an error rather than a second time
  private final FeederBuilder.FileBased<String> users = csv("users.csv").queue();

  private final ScenarioBuilder hello = scenario("hello")
      .feed(users)
      .exec(http("hello").get("/").queryParam("username", "#{username}"));

  {
    setUp(hello.injectOpen(rampUsers(users.readRecords().size()).during(10)))
        .protocols(http.baseUrl(System.getProperty("target", "http://127.0.0.1:8080")));
  }
}
