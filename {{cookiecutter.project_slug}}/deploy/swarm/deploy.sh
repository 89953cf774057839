#!/bin/sh
# Build the image, push it if its name has a registry, and start or update the stack on this Swarm
set -eu
cd "$(dirname "$0")/../.."
export COMPOSE_FILE=docker-compose.prod.yml
stack=$(docker compose config | sed -n 's/^name: "\{0,1\}\([^"]*\).*/\1/p')
export stack

# A Swarm reads no .env: export what Compose makes of it
variables=$(docker compose config --environment)
while IFS= read -r line; do
    case $line in [A-Z]*=*) export "${line?}" ;; esac
done <<END
$variables
END
export IMAGE="${IMAGE:-{{ cookiecutter.project_slug }}}"

docker build --tag "$IMAGE" --build-arg "EXTRAS=${EXTRAS:-}" .
case $IMAGE in
    */*) docker push "$IMAGE" ;;
    *)
        # Without a registry the name has to change with the content, or the Swarm sees no change
        image=${IMAGE%:*}:$(docker image inspect --format '{{ "{{.Id}}" }}' "$IMAGE" | cut -c 8-19)
        docker tag "$IMAGE" "$image"
        IMAGE=$image
        ;;
esac

# What the Swarm stores cannot change: new content gets a new name, and the old goes when nothing uses it
for file in Caddyfile nginx.conf deploy/*.sh secrets/*; do
    name=$(basename "$file")
    export "${name%.*}_hash=$(sha256sum <"$file" | cut -c 1-12)"
done
docker secret ls --quiet --filter "label=com.docker.stack.namespace=$stack" |
    xargs -r -n 1 docker secret rm >/dev/null 2>&1 || true

since=$(date -u +%Y-%m-%dT%H:%M:%SZ)
docker stack deploy --compose-file deploy/swarm/docker-stack.yml --detach=true --prune --with-registry-auth "$stack"
echo "Waiting until every service is healthy."

services=$(docker stack services --quiet "$stack")
# The services that are not as they should be: their names, and their updates or replicas
# shellcheck disable=SC2086 # a list of ids
unsettled() {
    docker service inspect --format '{{ "{{.Spec.Name}} {{with .UpdateStatus}}{{.State}}{{end}}" }}' $services |
        grep -v -e ' $' -e ' completed$'
    docker stack services --format '{{ "{{.Name}} {{.Replicas}}" }}' "$stack" |
        grep -v -e ' \([0-9]*\)/\1$' -e '(\([0-9]*\)/\1 completed)$'
}

# Not by --detach=false, which never ends when a migration fails
for _ in $(seq 900); do
    sleep 1
    pending=$(unsettled || true)
    [ -n "$pending" ] || exit 0
    case $pending in
        *updating* | *rollback_started*) ;;
        *rollback* | *paused*) break ;;
    esac
    case $(docker service ps --format '{{ "{{.CurrentState}}" }}' "${stack}_migrate" | head -n 1) in
        Failed* | Rejected*) break ;;
    esac
done

echo "$pending"
for service in $(echo "$pending" | cut -d ' ' -f 1 | sort -u); do
    for task in $(docker service ps --quiet --no-trunc --filter desired-state=shutdown "$service"); do
        docker service logs --since "$since" --tail 20 "$task" 2>&1 || true
    done
done
# Not the migration, which may still run; what the Swarm itself has rolled back stays as it is
for service in $(docker stack services --format '{{ "{{.Name}}" }}' "$stack" | grep -v '_migrate$'); do
    docker service rollback --detach "$service" >/dev/null 2>&1 || true
done
echo "The new image did not get healthy; the old one serves on. All that happened: docker stack ps --no-trunc $stack" >&2
exit 1
