# Varnish as a cache for load generators that follow pools: however many there are, the service is asked twice a second, and once for each
# delta. docs/caches.md explains it, and test/proxies/ runs this file with another port (Varnish 7.1). A service with keys needs
# SHARED_CACHE=on. Start:
#   varnishd -f /etc/varnish/usersync.vcl -a 127.0.0.1:8080 -s malloc,512m -p http_gzip_support=off -p timeout_linger=0
# Otherwise Varnish asks for gzip only, whatever codings its clients accept, and keeps a thread for 50 ms after each request, although a
# follower sends its next one after a second.
vcl 4.1;

backend usersync {
  .host = "127.0.0.1";
  .port = "3000";
  .connect_timeout = 2s;
  .first_byte_timeout = 960s; # an import may take 15 minutes
  .between_bytes_timeout = 60s;
}

sub vcl_recv {
  # Vary looks at the first line of a header only, so the service must not get more. This removes further lines.
  if (req.http.Accept-Encoding) {
    set req.http.Accept-Encoding = req.http.Accept-Encoding;
  }
  # A client that must have the state of this moment says so.
  if (req.url ~ "^/v1/states/current([?]|$)" && req.http.Cache-Control ~ "(?i)no-cache") {
    return (pass);
  }
  # The default rules would pass every request with a key.
  if ((req.method == "GET" || req.method == "HEAD") && req.url ~ "^/v1/(states/current([?]|$)|exports/)") {
    return (hash);
  }
  return (pass);
}

# An entry belongs to one API key: a key that the service has not accepted finds nothing. Vary does the same for Accept-Encoding.
sub vcl_hash {
  hash_data(req.http.Host);
  hash_data(req.url);
  hash_data(req.http.Authorization);
  return (lookup);
}

sub vcl_backend_response {
  set beresp.grace = 0s;
  set beresp.keep = 0s;
  if (beresp.status == 404) {
    # A crowd that looks for a state that is gone looks for it at once.
    set beresp.ttl = 1s;
  } elsif (beresp.status != 200 || beresp.http.Cache-Control !~ "^public") {
    # Stored is only what the service declares public, so nothing with keys and without SHARED_CACHE, and no logins. For this time
    # Varnish knows that the answer is not stored, and lets no request wait for another one.
    set beresp.ttl = 1s;
    set beresp.uncacheable = true;
  } elsif (bereq.url ~ "^/v1/states/current") {
    # After half a second one request asks the service, and meanwhile the others get what is there.
    set beresp.ttl = 0.5s;
    set beresp.grace = 0.5s;
  } else {
    # The service says a year. 100 s are enough for a crowd, and the longest time that a removed key reads what it has read before.
    set beresp.ttl = 100s;
  }
  return (deliver);
}
