#!/bin/sh
# Take the data of PostgreSQL to the major version that docker-compose.prod.yml names
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

volume="${STACK}_db"
scratch="${STACK}_db_new_$$"
image="$(docker compose config --images db)"
without_digest="${image%%@*}"
tag="${without_digest##*:}"
new="${tag%%[!0-9]*}"
suffix="${tag#"${tag%%-*}"}"

# A shell as root with the volumes of the database, and nothing else
shell() {
    docker run --rm --network none --user root --entrypoint sh "$@"
}

docker volume inspect "$volume" >/dev/null 2>&1 || fail "There is no volume $volume, so there is nothing to do."
# Before 18 the data is at the root of the volume, since then in 18/docker
found="$(shell --volume "$volume:/db:ro" "$image" -c 'cd /db; ls PG_VERSION */docker/PG_VERSION 2>/dev/null || true')"
[ "$(echo "$found" | wc -w)" = 1 ] || fail "$volume holds no PostgreSQL data, or that of several versions: $found"
place="$(dirname "$found")"
old="$(shell --volume "$volume:/db:ro" "$image" -c "cat /db/$found")"
if [ "$old" = "$new" ]; then
    echo "The data of $STACK is of PostgreSQL $new already: nothing to do."
    exit
fi
[ "$old" -lt "$new" ] || fail "The data is of PostgreSQL $old, and there is no way back to $new."
old_image="${without_digest%:*}:$old$suffix"
kept="${volume}_$old"
! docker volume inspect "$kept" >/dev/null 2>&1 ||
    fail "The volume $kept of an earlier upgrade is in the way; docker volume rm $kept deletes it."

progress=unchanged
on_exit() {
    status=$?
    clean_up
    docker stop --time=60 "$scratch-old" >/dev/null 2>&1 || true
    docker rm --force --volumes "$scratch-old" "$scratch-new" >/dev/null 2>&1 || true
    [ "$status" = 0 ] || case "$progress" in
        unchanged)
            docker volume rm "$scratch" "$kept" >/dev/null 2>&1 || true
            shell --volume "$volume:/db" "$image" -c 'rm -rf /db/.new' || true
            echo "The data was not changed, and is of PostgreSQL $old; the site is stopped." >&2
            ;;
        swapping)
            echo "It stopped halfway. The data is whole in the volumes $kept (of PostgreSQL $old)" \
                "and $scratch (of $new)." >&2
            ;;
        swapped) echo "The data is of PostgreSQL $new, but the site did not start; $kept is as it was." >&2 ;;
    esac
}
trap on_exit EXIT

# shellcheck disable=SC2046 # a list of words
stop $(writers) db
[ -z "$(docker ps --quiet --filter "volume=$volume")" ] || fail "A container still uses $volume."

wait_for() {
    tries=600
    until docker exec "$1" pg_isready --quiet --username=postgres --host="$2"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] && [ -n "$(docker ps --quiet --filter "name=^$1\$")" ] || {
            docker logs --tail=20 "$1" >&2
            fail "PostgreSQL does not start."
        }
        sleep 0.5
    done
}

docker run --detach --name "$scratch-old" --network none --user postgres --volume "$volume:/db" \
    --entrypoint postgres "$old_image" -D "/db/$place" -c listen_addresses= >/dev/null
# Only its own first start sets the password, from the same file; then that of the old one replaces it
docker run --detach --name "$scratch-new" --network none --user postgres \
    --volume "$scratch:{{ cookiecutter._databases.postgresql.volume }}" \
    --volume "$PWD/secrets/database_password:/run/secrets/database_password:ro" \
    --env POSTGRES_PASSWORD_FILE=/run/secrets/database_password "$image" >/dev/null
wait_for "$scratch-old" /var/run/postgresql
# While the entrypoint prepares the cluster, the server listens on no address
wait_for "$scratch-new" 127.0.0.1

work="$(mktemp -d)"
{ docker exec "$scratch-old" pg_dumpall --username=postgres || touch "$work/failed"; } |
    # The new server has this role, and no other command may fail
    LC_ALL=C sed '1,/^\\connect /{/^CREATE ROLE postgres;$/d;}' |
    docker exec -i "$scratch-new" psql --username=postgres --no-psqlrc --quiet --output=/dev/null \
        --set=ON_ERROR_STOP=1 postgres
[ ! -e "$work/failed" ] || fail "PostgreSQL $old could not be read."
docker exec "$scratch-new" vacuumdb --username=postgres --all --analyze-only --quiet
docker stop --time=300 "$scratch-old" "$scratch-new" >/dev/null
docker rm --volumes "$scratch-old" "$scratch-new" >/dev/null

shell --volume "$volume:/db:ro" --volume "$kept:/kept" "$image" -ec 'cp -a /db/. /kept/; sync'
shell --volume "$volume:/db" --volume "$scratch:/scratch:ro" "$image" -ec '
    rm -rf /db/.new; mkdir /db/.new; cp -a /scratch/. /db/.new/; sync'
progress=swapping
shell --volume "$volume:/db" "$image" -ec '
    cd /db; find . -mindepth 1 -maxdepth 1 ! -name .new -exec rm -rf {} +
    chown --reference=.new .; chmod --reference=.new .; mv .new/* .; rmdir .new'
progress=swapped
docker volume rm "$scratch" >/dev/null

# shellcheck disable=SC2119 # without --no-recreate, because the old container may have the old image
start
echo "$STACK runs on PostgreSQL $new. What it was before is kept; when you do not need it any more:"
echo "    docker volume rm $kept"
