#!/bin/sh
# Makes a stand-in for a public image of Node where no registry of images can be reached, from packages alone: Debian by debootstrap,
# Node by npm's package `node`, and npm. It has the parts of the public image that the Dockerfile uses: node, npm and the user `node`
# (1000). Needs root, debootstrap and buildah.
#
#   sh stand-in-base.sh node:24.21.0-bookworm-slim FOLDER STORAGE-OPTIONS...
set -eu

image=$1
folder=$2
shift 2
version=${image#node:}
suite=${version#*-}
version=${version%%-*}
suite=${suite%-slim}
root=$folder/base

rm -rf "$root"
debootstrap --variant=minbase "$suite" "$root" >"$folder/debootstrap.log"
# The slim images of Debian leave these out too.
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/* \
  "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*

npm install --prefix "$folder/node" --no-audit --no-fund --silent "node@$version"
npm install --prefix "$folder/npm" --no-audit --no-fund --silent --ignore-scripts npm@11
mkdir -p "$root/usr/local/lib/node_modules"
install "$folder/node/node_modules/node/bin/node" "$root/usr/local/bin/node"
cp -R "$folder/npm/node_modules/npm" "$root/usr/local/lib/node_modules/"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
# npm in the image trusts what this machine trusts: its way to the registry may have a certificate of its own.
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$root/usr/local/etc"
echo cafile=/etc/ssl/certs/ca-certificates.crt >"$root/usr/local/etc/npmrc"
chroot "$root" groupadd --gid 1000 node
chroot "$root" useradd --uid 1000 --gid node --shell /bin/bash --create-home node

container=$(buildah "$@" from scratch)
buildah "$@" add --quiet "$container" "$root" / >/dev/null
buildah "$@" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd node "$container"
buildah "$@" commit --quiet --rm "$container" "docker.io/library/$image" >/dev/null
rm -rf "$root" "$folder/node" "$folder/npm"
