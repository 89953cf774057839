#!/bin/sh
# shellcheck disable=SC2086  # lists of containers, a word each
#
# Replace the site by a new image without losing a request; if the new one fails, the old one serves on.
# `deploy.sh` builds the image, `PULL=1 deploy.sh` pulls it, `deploy.sh rollback` takes the one before.
set -eu
cd "$(dirname "$0")/.."
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.prod.yml}"
project=$(docker compose config | sed -n 's/^name: "\{0,1\}\([^"]*\).*/\1/p')
# `config --images web` would name those of what web depends on as well
image=$(docker compose config | sed -n '/^  web:/,/^  [^ ]/s/^    image: //p')

# Print the last lines of every container that should be running and is not, or is not healthy
show_failures() {
    docker compose ps --all --format '{{ "{{.Name}} {{.State}}:{{.Health}}:{{.ExitCode}}" }}' |
        grep -Ev ' (running:healthy|exited:.*:0$|created:)' | while read -r container _; do
        printf '\n%s:\n' "$container"
        docker logs --tail 20 "$container" 2>&1
    done >&2
}

keep_old() {
    trap - EXIT INT TERM
    show_failures
    [ -z "$new" ] || docker rm --force $new >/dev/null
    docker tag "$old_image" "$image"
    echo "The new image failed; the old one serves on." >&2
    exit 1
}

trap show_failures EXIT
old=$(docker compose ps --quiet web)
new=
if [ -n "$old" ]; then
    old_image=$(docker inspect --format '{{ "{{.Image}}" }}' $old | head -n 1)
    trap keep_old EXIT INT TERM
fi

if [ "${1:-}" = rollback ]; then
    docker tag "$project:previous" "$image"
elif [ -n "${PULL:-}" ]; then
    docker compose pull web
else
    docker compose build web
fi
[ -n "$old" ] || { docker compose up --detach --wait; exit; }

# The old code serves until the end, so migrations must suit it too
docker compose run --rm --no-deps migrate
# {% if cookiecutter.background_tasks == "celery" %}
# Until the old containers are gone, the cache takes a changed password and the one before
sed 's/requirepass /ACL SETUSER default >/' secrets/valkey_conf | docker compose exec -T cache sh -ec '
    cd /run/secrets; sed s/requirepass/AUTH/ valkey_conf - | valkey-cli' >/dev/null || true
# {% endif %}

# The proxy finds by its network who is there, so new containers join that when they are healthy
count=$(echo "$old" | wc -l)
docker compose up --no-start --no-recreate --no-deps --scale "web=$((count * 2))" web
new=$(docker compose ps --all --quiet web | grep -vF "$old")
for container in $new; do docker network disconnect "${project}_front" "$container"; done
docker start $new >/dev/null
for second in $(seq 300 -1 0); do
    case $(docker inspect --format '{{ "{{.State.Status}} {{.State.Health.Status}}" }}' $new) in
        *exited* | *restarting* | *unhealthy*) exit 1 ;;
        *starting*) [ "$second" -gt 0 ] || exit 1; sleep 1 ;;
        *) break ;;
    esac
done

# A file that was replaced, as git does, the container still sees as it was
if ! docker compose exec -T media cat /etc/nginx/nginx.conf | cmp -s - nginx.conf; then
    docker compose run --rm --no-deps --no-TTY media nginx -t -q
    docker compose up --detach --wait --no-deps --force-recreate media
fi
if docker compose exec -T proxy cat /etc/caddy/Caddyfile | cmp -s - Caddyfile; then
    docker compose exec -T proxy caddy reload --config /etc/caddy/Caddyfile
else
    docker compose exec -T proxy caddy reload --config - --adapter caddyfile <Caddyfile
fi
for container in $new; do docker network connect --alias web "${project}_front" "$container"; done
trap - INT TERM
trap show_failures EXIT

# The proxy looks for new addresses once a second
sleep 2
docker stop $old >/dev/null
docker rm $old >/dev/null
[ "$old_image" = "$(docker inspect --format '{{ "{{.Image}}" }}' $new | head -n 1)" ] ||
    docker tag "$old_image" "$project:previous"
# {% if cookiecutter.background_tasks == "celery" %}
# With a changed password, which Compose does not notice; these two know only the one before
if ! docker compose exec -T cache cat /run/secrets/valkey_conf | cmp -s - secrets/valkey_conf; then
    docker compose stop worker scheduler
    docker compose up --detach --wait --no-deps --force-recreate cache
fi
# {% endif %}
# {% if cookiecutter.background_tasks != "none" %}
# Compose does not notice a changed secret
docker compose up --detach --wait --no-deps --force-recreate worker
# {% endif %}
# {% if cookiecutter.background_tasks == "celery" %}
docker compose up --detach --wait --no-deps --force-recreate scheduler
# {% endif %}
docker compose up --detach --wait
