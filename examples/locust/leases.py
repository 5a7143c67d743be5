"""Each simulated user has an account that no other one has, logs in with the form of the system under test, and returns the account.

    curl -O http://127.0.0.1:3000/clients/usersync.py
    USERSYNC_URL=http://127.0.0.1:3000 locust -f leases.py --headless --users 50 --spawn-rate 50 --run-time 1m --host http://127.0.0.1:8080

Works with workers on several machines too: the service decides who has which account.
"""

import re

from locust import HttpUser, constant, events, task
from usersync import UserPool

pool = UserPool()  # USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL


class Customer(HttpUser):
    wait_time = constant(0.1)

    def on_start(self):
        self.lease = pool.take(include=["password"], owner="locust")
        user = self.lease.user
        form = self.client.get("/login").text
        fields = {"csrf": re.search(r'name="csrf" value="([^"]+)"', form)[1]}
        fields |= {"username": user["username"], "password": user["password"]}
        with self.client.post("/login", fields, allow_redirects=False, catch_response=True) as response:
            if response.status_code != 302:
                response.failure(f"the login was refused: {response.status_code}")

    @task
    def look(self):
        self.lease.user  # raises LeaseLost if another user may have the account by now
        self.client.get("/me")

    def on_stop(self):
        self.client.post("/logout")
        self.lease.release()


@events.quit.add_listener
def return_accounts(**_):  # of simulated users that were stopped before they could
    pool.close()
