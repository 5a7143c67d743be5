"""Test users of usersync for Locust and other Python programs: users that nobody else has. Needs only requests.

    curl -O http://usersync:3000/clients/usersync.py

    from locust import HttpUser, task
    from usersync import UserPool

    pool = UserPool()  # USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL

    class Customer(HttpUser):
        def on_start(self):
            self.lease = pool.take(include=["password"])
            user = self.lease.user
            self.client.post("/login", {"username": user["username"], "password": user["password"]})

        def on_stop(self):
            self.lease.release()

A thread of the pool renews leases after a third of their ttl, so users stay with a program that lives, and come back within a ttl after
it has died. It stops after `deadline` seconds: a program that hangs does not keep its users forever. MIT licence, part of usersync.
"""

import os
import threading
import time
import uuid

import requests

__all__ = ["UserPool", "Lease", "UsersyncError", "UsersExhausted", "LeaseLost"]

ATTEMPTS = 5
MAX_PAUSE_SECONDS = 10


class UsersyncError(Exception):
    """A request failed. `code` is that of usersync, such as `forbidden`; None without a response."""

    def __init__(self, message, code=None):
        super().__init__(message)
        self.code = code


class UsersExhausted(UsersyncError):
    """Too few users are free."""


class LeaseLost(UsersyncError):
    """The lease is over, and its users may be with others."""


class Lease:
    """Users of one holder. Also a context manager, which releases them: `with pool.take() as lease:`."""

    def __init__(self, pool, granted, ttl, begun, deadline):
        self.id = granted["id"]
        self.fence = granted["fence"]
        self.ttl = ttl
        self.is_over = False
        self._is_back = False
        self._pool = pool
        self._users = granted["users"]
        self._renewed = begun
        self._deadline = begun + deadline

    @property
    def users(self):
        """The users as in the API. Raises LeaseLost if they may be with others."""
        # Counted from before the request, so earlier than the service.
        if self.is_over or time.monotonic() >= self._renewed + self.ttl:
            raise LeaseLost("The lease is over. Take new users.", "lease_lost")
        return self._users

    @property
    def user(self):
        """The first user."""
        return self.users[0]

    def renew(self):
        """Keeps the users for another ttl. Raises LeaseLost."""
        begun = time.monotonic()
        try:
            self._pool._call("POST", f"/v1/leases/{self.id}/renew", {"fence": self.fence, "ttl_seconds": self.ttl})
        except LeaseLost:
            self.is_over = self._is_back = True
            raise
        self._renewed = begun

    def release(self, outcome="clean"):
        """Returns the users: `clean` (free again), `dirty` or `consumed` (nobody gets them before a reset). May be repeated,
        also after an error."""
        self._pool._forget(self)
        self.is_over = True
        if self._is_back:
            return
        try:
            self._pool._call("POST", f"/v1/leases/{self.id}/return", {"fence": self.fence, "outcome": outcome})
        except LeaseLost:
            pass  # they are back already
        self._is_back = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


class UserPool:
    """The users of one pool. Safe for threads and greenlets. Without arguments: USERSYNC_URL, USERSYNC_KEY, USERSYNC_POOL."""

    def __init__(self, url=None, key=None, pool=None):
        self._url = (url or os.environ.get("USERSYNC_URL", "http://127.0.0.1:3000")).rstrip("/")
        self._key = key or os.environ.get("USERSYNC_KEY")
        self._pool = pool or os.environ.get("USERSYNC_POOL", "default")
        self._sessions = threading.local()
        self._lock = threading.Lock()
        self._leases = set()
        self._wakes = threading.Event()
        self._renewer = None

    def take(self, count=1, ttl=60, wait=30, deadline=14400, owner="locust", **options):
        """Leases users, and waits up to `wait` seconds for some that come back. `options` are further members of POST /v1/leases:
        filter, order, include, partial. The lease is renewed for `deadline` seconds. Raises UsersExhausted."""
        body = {"count": count, "ttl_seconds": ttl, "wait_seconds": wait, "owner": owner, **options}
        begun = time.monotonic()
        # Repeated with the same key, a request whose response was lost gets the same lease.
        granted = self._call("POST", "/v1/leases", body, {"Idempotency-Key": str(uuid.uuid4())})
        lease = Lease(self, granted, ttl, begun, deadline)
        if time.monotonic() - begun > ttl / 3:
            lease.renew()  # it waited: how long ago the grant was is not known
        with self._lock:
            self._leases.add(lease)
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew_leases, name="usersync", daemon=True)
                self._renewer.start()
        self._wakes.set()
        return lease

    def users(self):
        """Returns all test users of the pool. They are not leased: several programs may get the same."""
        return self._call("GET", "/v1/users/export?format=json")["users"]

    def close(self):
        """Releases all leases, at the end of a program. Raises the last error, after it has tried all."""
        with self._lock:
            leases = list(self._leases)
        failure = None
        for lease in leases:
            try:
                lease.release()
            except UsersyncError as error:
                failure = error
        if failure:
            raise failure

    def _forget(self, lease):
        with self._lock:
            self._leases.discard(lease)

    def _renew_leases(self):
        while True:
            now = time.monotonic()
            with self._lock:
                leases = list(self._leases)
            for lease in leases:
                if now >= lease._deadline:
                    self._forget(lease)
                elif now >= lease._renewed + lease.ttl / 3:
                    self._renew(lease)
            due = [min(lease._renewed + lease.ttl / 3, lease._deadline) for lease in leases]
            # After a failed renewal the next attempt comes soon: the users are lost after two more thirds.
            self._wakes.wait(max(0.2, min(due) - time.monotonic()) if due else None)
            self._wakes.clear()

    def _renew(self, lease):
        try:
            lease.renew()
        except LeaseLost:
            self._forget(lease)
        except UsersyncError:
            pass  # tried again; `lease.users` says when it was too late

    def _call(self, method, path, body=None, headers=None):
        url = f"{self._url}{path}{'&' if '?' in path else '?'}pool={self._pool}"
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self._key}"} if self._key else {})}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # A redirect would make a GET of a POST.
                response = self._session().request(
                    method, url, json=body, headers=sent, timeout=(5, 60), allow_redirects=False
                )
            except requests.RequestException as error:
                failure, pause = UsersyncError(f"{self._url} cannot be reached ({type(error).__name__})"), attempt
            else:
                answer = _object_in(response)
                if answer and 200 <= response.status_code < 300:
                    return answer
                failure = _failure(response.status_code, answer)
                if response.status_code != 429 and response.status_code < 500:
                    raise failure
                seconds = response.headers.get("Retry-After", "")  # or a date, which only proxies send
                pause = float(seconds) if seconds.isdecimal() else attempt
            if attempt == ATTEMPTS:
                raise failure
            time.sleep(min(pause, MAX_PAUSE_SECONDS))

    def _session(self):
        if not hasattr(self._sessions, "value"):
            self._sessions.value = requests.Session()
        return self._sessions.value


def _object_in(response):
    """The JSON object of a response. Empty for what is none, such as a proxy's page."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _failure(status, problem):
    code = problem.get("code")
    kind = {"users_exhausted": UsersExhausted, "lease_lost": LeaseLost}.get(code, UsersyncError)
    unknown = "This does not come from usersync: check USERSYNC_URL and proxies."
    return kind(f"{problem.get('title', f'HTTP {status}')}. {problem.get('detail', unknown)}", code)
