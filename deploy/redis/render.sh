#!/bin/sh
# Fill in users.acl: render.sh DOMAIN READER_PASSWORD_FILE WRITER_PASSWORD_FILE < users.acl > rendered
# The rendered file holds digests only; guessing a password from it takes as long as the password is
# good. Make good ones: head -c 32 /dev/urandom | base64
set -eu

case "$1" in
  "" | *[!a-z0-9._-]*) echo "render.sh: not a domain: $1" >&2; exit 1 ;;
esac

digest() {
  [ -s "$1" ] || { echo "render.sh: empty or missing: $1" >&2; exit 1; }
  # The password is the one line of the file, without its end.
  tr -d '\n' < "$1" | sha256sum | cut -d ' ' -f 1
}

reader=$(digest "$2")
writer=$(digest "$3")
sed -e '/^#/d' -e "s/@DOMAIN@/$1/g" -e "s/@READER@/$reader/g" -e "s/@WRITER@/$writer/g"
