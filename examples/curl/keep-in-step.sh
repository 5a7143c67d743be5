#!/bin/sh
# Keeps users.csv, in the current folder, in step with a usersync service:
#
#   sh keep-in-step.sh http://127.0.0.1:3000                        all users
#   sh keep-in-step.sh http://127.0.0.1:3000 'pool=shop&shard=0/3'  the first third of a pool
#
# Set USERSYNC_KEY if the service needs a key. Use a folder for one service and one filter, and for one run at a time.
# A failed run does not change users.csv. Needs curl 7.68 or later.
# A proxy must speak HTTP/1.1 to the service (nginx: proxy_http_version 1.1). Otherwise an answer that was cut looks complete.
set -eu

url="$1/v1/users/export?format=csv${2:+&$2}"
new=$(mktemp -d ./.users.XXXXXX) # beside users.csv, because mv is atomic only within one file system
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A state is useless without its users.
[ -s users.csv ] || rm -f users.etag

# The state is saved separately, because curl empties that file on a failure. The key is sent through a pipe, because all
# users of the machine can see arguments.
status=$(
  printf '%s' "${USERSYNC_KEY:+Authorization: Bearer $USERSYNC_KEY}" |
    curl --silent --show-error --fail --compressed --connect-timeout 10 --speed-time 60 --header @- \
      --etag-compare users.etag --etag-save "$new/users.etag" --output "$new/answer" --write-out '%{http_code}' "$url"
)
case $status in
  304) echo 'unchanged' && exit ;;
  200) ;;
  *) echo "$url answered $status" >&2 && exit 1 ;;
esac

if head -n 1 "$new/answer" | grep -q '^op,'; then
  kind='delta'
  LC_ALL=C awk '
    function first_cell(row) { return substr(row, 1, index(row, ",") - 1) }
    { row = quoted ? row "\n" $0 : $0; quoted = (quoted + gsub(/"/, "&")) % 2 }
    quoted { next } # a line break inside quotes does not end the row
    FNR == 1 && NR == 1 { next }
    NR == FNR {
      op = first_cell(row); row = substr(row, length(op) + 2); id = first_cell(row)
      changed[id] = op == "deleted" ? "" : row; order[++count] = id
      next
    }
    { id = first_cell(row) }
    !(id in changed) { print row; next }
    changed[id] != "" { print changed[id] }
    { delete changed[id] }
    END { for (i = 1; i <= count; i++) if (order[i] in changed && changed[order[i]] != "") print changed[order[i]] }
  ' "$new/answer" users.csv >"$new/users.csv"
else
  kind='full'
  mv "$new/answer" "$new/users.csv"
fi

# If the script is killed between these commands, the next run fetches a full export: the saved state always matches the file.
rm -f users.etag
mv "$new/users.csv" users.csv
mv "$new/users.etag" users.etag
echo "$kind"
