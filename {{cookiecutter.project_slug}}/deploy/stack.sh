#!/bin/sh
# shellcheck disable=SC2016,SC2034  # scripts for the shell of a container, variables for the other scripts
#
# Shared by backup.sh and restore.sh: how to read and replace the data of production

umask 077
cd "$(dirname "$0")/.." || exit
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.prod.yml}" COMPOSE_PROGRESS=quiet
project=$(docker compose config | sed -n 's/^name: "\{0,1\}\([^"]*\).*/\1/p')
dump="{{ cookiecutter.database }}.dump"
work=

fail() { echo "$*" >&2; exit 1; }

trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM

# Run a script beside the volumes of the application, in a container of its own
in_container() { docker compose run --rm --no-deps --no-TTY migrate sh -euc "$1"; }
# {% if cookiecutter.database != "sqlite" %}
in_database() { docker compose exec --no-TTY db sh -euc "$1"; }
# {% endif %}

# {% if cookiecutter.__backend == "postgresql" %}
read_database() { in_database 'pg_dump --username=postgres --no-owner --no-privileges "$POSTGRES_DB"'; }

write_database() {
    in_database 'export PGUSER=postgres PGOPTIONS=--client-min-messages=warning
        dropdb --if-exists --force "$POSTGRES_DB"
        createdb --template=template0 "$POSTGRES_DB"
        sh /docker-entrypoint-initdb.d/roles.sh
        psql --username=owner --no-psqlrc --quiet --output=/dev/null --single-transaction --set=ON_ERROR_STOP=1 "$POSTGRES_DB"'
}

# {% endif %}
# {% if cookiecutter.__backend == "mysql" %}
read_database() {
    in_database 'export MYSQL_PWD="$(cat /run/secrets/database_password)"
        {{ cookiecutter._databases[cookiecutter.database].dump }} --user=root --single-transaction --routines --triggers --events --hex-blob \
            --default-character-set=utf8mb4 --max-allowed-packet=1G {{ cookiecutter.__database_name }}'
}

write_database() {
    in_database 'export MYSQL_PWD="$(cat /run/secrets/database_password)"
        {{ cookiecutter._databases[cookiecutter.database].client }} --user=root </dev/null --execute="SET GLOBAL max_allowed_packet = 1073741824;
            DROP DATABASE IF EXISTS \`{{ cookiecutter.__database_name }}\`; CREATE DATABASE \`{{ cookiecutter.__database_name }}\`"
        sh /docker-entrypoint-initdb.d/roles.sh
        {{ cookiecutter._databases[cookiecutter.database].client }} --user=root --default-character-set=utf8mb4 --max-allowed-packet=1G {{ cookiecutter.__database_name }}'
}

# {% endif %}
# {% if cookiecutter.__backend == "sqlite3" %}
read_database() {
    copy="/data/database/backup.$$"
    in_container "trap 'rm -f $copy' EXIT
        python -m sqlite3 /data/database/db.sqlite3 \"VACUUM INTO '$copy'\" >&2
        cat $copy"
}

write_database() {
    in_container 'cd /data/database
        cat >restored.sqlite3
        rm -f db.sqlite3-wal db.sqlite3-shm
        mv restored.sqlite3 db.sqlite3'
}

# {% endif %}
read_media() {
    # 1: a file came, went or grew meanwhile, so no row of the dump names it
    in_container 'tar -c --directory "$MEDIA_ROOT" \
        --warning=no-file-changed --warning=no-file-removed . || [ $? = 1 ]'
}

write_media() {
    # Without the first component, the folder itself, which belongs to root
    in_container 'cd "$MEDIA_ROOT"
        find . -mindepth 1 -delete
        tar -x --preserve-permissions --strip-components=1'
}
