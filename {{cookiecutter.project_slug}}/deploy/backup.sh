#!/bin/sh
# Write the database and the uploaded files of production into one file, and print its name
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

file="backups/$project-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
[ ! -e "$file" ] || fail "No backup: $file is there already."
work="backups/.$$.part"
mkdir -p "$work"
chmod 700 backups
# For development, which looks into every folder
[ "$(id -u)" != 0 ] || chown --reference=. backups

# The database first, so that every file that its rows name is still there
read_database >"$work/$dump" || fail "No backup: the database could not be read."
read_media >"$work/media.tar" || fail "No backup: the media could not be read."
(cd "$work" && sha256sum "$dump" media.tar >SHA256SUMS &&
    tar -czf archive SHA256SUMS "$dump" media.tar && sync archive) || fail "No backup: it could not be written."
mv "$work/archive" "$file"
echo "$file"
