#!/bin/sh
# Replace the database and the uploaded files of the stack by those of a backup: restore.sh FILE
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

file="${1:-}"
[ -f "$file" ] || fail "Say which backup: restore.sh backups/NAME.tar.gz"
mkdir -p backups
mkdir "backups/.$$.restore"
work="backups/.$$.restore"
(tar -xzf "$file" -C "$work" && cd "$work" && sha256sum "$dump" media.tar | cmp - SHA256SUMS) >/dev/null 2>&1 ||
    fail "$file is damaged, or not a backup of this kind of database; nothing was changed."

printf 'All data of %s will be replaced by those of %s. Type yes to go on: ' "$project" "$file"
read -r answer || answer=
[ "$answer" = yes ] || fail "Nothing was changed."

trap 'rm -rf "$work"; echo "The site is stopped: restore ${safety:+$safety or }$file again, then run deploy.sh." >&2' EXIT
# What writes, and how many of each
services=$(docker stack services --format '{{ "{{.Name}}={{.Replicas}}" }}' "$project" |
    sed -nE 's#^(.*_(web|worker|scheduler)=)[0-9]+/#\1#p')
# shellcheck disable=SC2046 # a list of words
docker service scale --detach=false $(echo "$services" | sed 's/=.*/=0/') >/dev/null
safety=$(sh deploy/swarm/backup.sh)
echo "What was there is in $safety"

write_database <"$work/$dump"
write_media <"$work/media.tar"
docker service update --detach --force "${project}_migrate" >/dev/null
# shellcheck disable=SC2086 # a list of words
docker service scale --detach=false $services >/dev/null
trap 'rm -rf "$work"' EXIT
echo "$project has the data of $file."
