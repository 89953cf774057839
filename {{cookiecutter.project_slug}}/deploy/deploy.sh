#!/bin/sh
# shellcheck disable=SC2086  # lists of ids, a word each
#
# Replace the site by a new image without losing a request, or keep the old one if the new one does not get healthy.
set -eu
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.prod.yml}"

old=$(docker compose ps --quiet web)
if [ -z "$old" ]; then
    exec docker compose up --detach --build --wait
fi

image=$(docker compose config --images web | head -n 1)
old_image=$(docker compose images --quiet web | head -n 1)
project=$(docker compose config | sed -n 's/^name: //p')
replicas=$(docker compose config web | sed -n 's/^ *replicas: //p')
new=""

take_back() {
    trap - EXIT INT TERM
    for container in $new; do docker logs --tail 20 "$container"; done
    [ -z "$new" ] || docker rm --force $new >/dev/null
    docker tag "$old_image" "$image"
    docker compose up --detach --no-deps --wait migrate
    echo "The new image did not get healthy; the old one serves on." >&2
    exit 1
}

# Whether one of the new containers is in a state, like status=exited
any() {
    for container in $new; do
        [ -z "$(docker ps --all --quiet --filter "id=$container" --filter "$1")" ] || return 0
    done
    return 1
}

trap take_back EXIT INT TERM
if [ -n "${PULL:-}" ]; then docker compose pull web; else docker compose build web; fi

# Migrations must suit the old code too, which serves until the end
docker compose up --detach --no-deps --wait migrate

# The proxy finds by its network who is there, so new containers get on it when they are healthy
docker compose up --no-start --no-recreate --no-deps --scale "web=$(($(echo "$old" | wc -l) + replicas))" web
new=$(docker compose ps --all --quiet web | grep -vF "$old")
for container in $new; do docker network disconnect "${project}_front" "$container"; done
docker start $new >/dev/null
for _ in $(seq 300); do
    if any status=exited || any status=restarting || any health=unhealthy; then exit 1; fi
    any health=starting || break
    sleep 1
done
if any health=starting; then exit 1; fi
for container in $new; do docker network connect --alias web "${project}_front" "$container"; done
trap - EXIT INT TERM

# The proxy looks for new addresses once a second
sleep 2
docker stop $old >/dev/null
docker rm $old >/dev/null
docker compose up --detach --wait
