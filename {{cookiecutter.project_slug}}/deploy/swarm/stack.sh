#!/bin/sh
# Shared by backup.sh and restore.sh: what ../stack.sh does, in containers of the Swarm

root=$(cd "$(dirname "$0")/../.." && pwd)
export COMPOSE_FILE="$root/docker-compose.prod.yml"
# shellcheck source-path=SCRIPTDIR source=../stack.sh
. "$root/deploy/stack.sh"
cd "$root" || exit
image=$(docker service inspect --format '{{ "{{.Spec.TaskTemplate.ContainerSpec.Image}}" }}' "${project}_web") || exit

# {% if cookiecutter.database != "sqlite" %}
in_database() {
    docker exec --interactive \
        "$(docker ps --quiet --filter "label=com.docker.swarm.service.name=${project}_db")" sh -euc "$1"
}

# {% endif %}
in_container() {
    # {% if cookiecutter.database == "sqlite" %}
    docker run --rm --interactive --network none --volume "${project}_db:/data/database" \
        --volume "${project}_uploads:/data/media" "$image" sh -euc "$1"
    # {% endif %}
    # {% if cookiecutter.database != "sqlite" %}
    docker run --rm --interactive --network none --volume "${project}_uploads:/data/media" "$image" sh -euc "$1"
    # {% endif %}
}
