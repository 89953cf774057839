#!/bin/sh
# Build the image, push it if its name has a registry, and deploy or update the stack on this Swarm.
set -eu
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.prod.yml}"

# A Swarm reads no .env: export what Compose makes of it
variables=$(docker compose config --environment)
while IFS= read -r line; do
    case $line in [A-Z]*=*) export "${line?}" ;; esac
done <<END
$variables
END

docker compose build web
image=$(docker compose config --images web | head -n 1)
case $image in
    */*) docker push "$image" ;;
    *)
        # Without a registry the name has to change with the content, or the Swarm sees no change
        case $image in *:*) ;; *) image="$image:latest" ;; esac
        IMAGE="${image%:*}:$(docker images --quiet "$image")"
        export IMAGE
        docker tag "$image" "$IMAGE"
        ;;
esac

# Secrets and the Caddyfile cannot change on a Swarm: new content gets a new name
for file in Caddyfile secrets/*; do
    export "$(basename "$file" | tr '[:upper:]' '[:lower:]')_hash=$(sha256sum <"$file" | cut -c 1-12)"
done
STACK=${STACK:-$(docker compose config | sed -n 's/^name: //p')}
export STACK
for unused in $(docker secret ls --quiet --filter "label=com.docker.stack.namespace=$STACK"); do
    docker secret rm "$unused" >/dev/null 2>&1 || true
done

# shellcheck disable=SC2046 # a word for each file
docker stack deploy $(printf ' --compose-file %s' $(echo "$COMPOSE_FILE" | tr : ' ')) --detach=false --prune --with-registry-auth "$STACK"
if docker service inspect --pretty "${STACK}_web" | grep -q 'State:.*rollback'; then
    echo "The new image did not get healthy; the old one serves on." >&2
    exit 1
fi
