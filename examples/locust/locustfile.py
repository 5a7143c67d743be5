"""Each simulated user uses a different test user from users.csv in the current folder.

    locust --headless --users 50 --spawn-rate 50 --run-time 1m --host http://127.0.0.1:8080

Works with --master and --worker too. Every worker has the same users.csv, and the master assigns it its rows.
"""

import csv
from itertools import islice

from locust import HttpUser, constant, events, task
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

rows = iter(())


def take_part(index, count):
    """This is worker index of count. It has the rows index, index + count, index + 2 * count, …, and reads them when needed."""
    global rows
    file = open("users.csv", newline="", encoding="utf-8")
    rows = islice(csv.DictReader(file), index, None, count)


@events.init.add_listener
def listen(environment, **_):
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("part", lambda msg, **_: take_part(*msg.data))


@events.test_start.add_listener
def deal(environment, **_):
    runner = environment.runner
    if isinstance(runner, LocalRunner):
        take_part(0, 1)
    elif isinstance(runner, MasterRunner):
        workers = list(runner.clients)
        for index, worker in enumerate(workers):
            runner.send_message("part", [index, len(workers)], worker)


class TestUser(HttpUser):
    wait_time = constant(0.1)

    def on_start(self):
        self.row = next(rows, None)
        if self.row is None:
            raise RuntimeError("users.csv has fewer users than this test starts")

    @task
    def hello(self):
        # name: one line in the statistics, not one for each user
        self.client.get("/", params={"username": self.row["username"]}, name="/")
