// NOT RUN by this project: Gatling is not in a package registry that its tests can use. They run lease.sh.
//
// Each virtual user takes the next account of accounts.json, which lease.sh makes for this injector, and logs in with the form of the
// system under test. In a project created from Gatling's Maven template, with this file in src/test/java:
//
//   USERSYNC_URL=http://127.0.0.1:3000 sh lease.sh 500 mvn gatling:test \
//     -Dgatling.simulationClass=LeasedUsersSimulation -Daccounts="$PWD/accounts.json" -Dtarget=http://127.0.0.1:8080

import static io.gatling.javaapi.core.CoreDsl.*;
import static io.gatling.javaapi.http.HttpDsl.*;

import io.gatling.javaapi.core.*;

public class LeasedUsersSimulation extends Simulation {
  // queue: each account once, and an error rather than a second time
  private final FeederBuilder.FileBased<Object> accounts =
      jsonFile(System.getProperty("accounts", "accounts.json")).queue();

  private final ScenarioBuilder login = scenario("login")
      .feed(accounts)
      .exec(
          http("form").get("/login").check(css("input[name=csrf]", "value").saveAs("csrf")),
          http("login").post("/login")
              .formParam("csrf", "#{csrf}")
              .formParam("username", "#{username}")
              .formParam("password", "#{password}")
              .disableFollowRedirect()
              .check(status().is(302)),
          http("me").get("/me"),
          http("logout").post("/logout"));

  {
    setUp(login.injectOpen(rampUsers(accounts.readRecords().size()).during(10)))
        .protocols(http.baseUrl(System.getProperty("target", "http://127.0.0.1:8080")));
  }
}
