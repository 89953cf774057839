#!/bin/sh
# Shared by the scripts beside it: the containers of the production stack, under Compose or on a node of a Swarm

umask 077
cd "$(dirname "$0")/.." || exit
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.prod.yml}"
STACK="${STACK:-$(docker compose config | sed -n 's/^name: "\{0,1\}\([^"]*\).*/\1/p')}"
export STACK COMPOSE_PROJECT_NAME="$STACK"

# Of the kind of the database: its part of an archive, and where its tools are
# shellcheck disable=SC2034 # for the other scripts
dump="{{ cookiecutter.database }}.dump"
server="{{ cookiecutter._databases[cookiecutter.database].tools_in }}"

files="$STACK-files-$$"
work=

fail() {
    echo "$*" >&2
    exit 1
}

clean_up() {
    docker rm --force --volumes "$files" >/dev/null 2>&1 || true
    [ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

on_swarm() {
    docker service inspect "${STACK}_migrate" >/dev/null 2>&1
}

# The containers of a service; more filters may follow
containers() {
    service="$1"
    shift
    docker ps --all --quiet "$@" --filter "label=com.docker.compose.project=$STACK" \
        --filter "label=com.docker.compose.service=$service"
    docker ps --all --quiet "$@" --filter "label=com.docker.swarm.service.name=${STACK}_$service"
}

# Every service with its image
services() {
    if on_swarm; then
        docker service ls --quiet --filter "label=com.docker.stack.namespace=$STACK" |
            xargs -r docker service inspect \
                --format '{{ "{{.Spec.Name}} {{.Spec.TaskTemplate.ContainerSpec.Image}}" }}' |
            sed "s/^${STACK}_//"
    else
        docker ps --all --quiet --filter "label=com.docker.compose.project=$STACK" |
            xargs -r docker inspect \
                --format '{{ '{{index .Config.Labels "com.docker.compose.service"}} {{.Config.Image}}' }}'
    fi
}

# The services that may write: those with the image of the application
writers() {
    services | awk '{ image[$1] = $2 }
        END { for (name in image) if (image[name] == image["migrate"]) print name }'
}

stopped=
stop() {
    if on_swarm; then
        for service in "$@"; do
            stopped="$stopped $(docker service inspect --format \
                '{{ "{{.Spec.Name}}={{.Spec.Mode.Replicated.Replicas}}" }}' "${STACK}_$service")"
            docker service scale --detach=false "${STACK}_$service=0" >/dev/null
        done
    else
        docker compose --progress quiet stop "$@"
    fi
}

# Start what was stopped; what follows is for `docker compose up`
start() {
    if on_swarm; then
        # shellcheck disable=SC2086 # a list of words
        [ -z "$stopped" ] || docker service scale --detach=false $stopped >/dev/null
    else
        docker compose --progress quiet up --detach --wait "$@"
    fi
}

# The volumes are reached from a container of their own, which is there also while `migrate` fails
open_stack() {
    migrate="$(containers migrate | head -n 1)"
    [ -n "$migrate" ] || fail "No container of $STACK's service migrate is on this machine."
    # Its volumes and its image; --volumes-from cannot take a container that has a tmpfs
    mounts="$(docker inspect --format \
        '{{ '{{range .Mounts}}{{if eq .Type "volume"}} --volume={{.Name}}:{{.Destination}}{{end}}{{end}}' }}' "$migrate")"
    # shellcheck disable=SC2086 # a list of words
    docker run --detach --rm --name "$files" --init --no-healthcheck --network none --read-only \
        --cap-drop ALL --security-opt no-new-privileges --user 10001:10001 $mounts \
        --entrypoint sleep "$(docker inspect --format '{{ "{{.Image}}" }}' "$migrate")" infinity >/dev/null
    database="$files"
    [ "$server" = migrate ] || database="$(containers "$server" --filter status=running | head -n 1)"
    [ -n "$database" ] || fail "No container of $STACK's service $server is running on this machine."
}
