#!/bin/sh
# Replace the database and the uploaded files of production by those of a backup: restore.sh FILE
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

file="${1:-}"
[ -f "$file" ] || fail "There is no file '$file', as in make restore FILE=backups/NAME.tar.gz; nothing was changed."
members=$(tar -tzf "$file" 2>/dev/null) || fail "$file is damaged, or not an archive; nothing was changed."
[ "$members" = "SHA256SUMS
$dump
media.tar" ] || fail "$file is not a backup of this kind of database: it has no $dump; nothing was changed."
work="backups/.$$.restore"
mkdir -p "$work"
tar -xzf "$file" -C "$work"
(cd "$work" && sha256sum "$dump" media.tar | cmp -s - SHA256SUMS) ||
    fail "$file is damaged: its parts are not what its list says; nothing was changed."

printf 'All data of %s will be replaced by those of %s. Type yes to go on: ' "$project" "$file"
read -r answer || answer=
[ "$answer" = yes ] || fail "Nothing was changed."

volumes=$(docker volume ls --quiet --filter "label=com.docker.compose.project=$project")
safety=
state=unchanged
on_exit() {
    status=$?
    rm -rf "$work"
    [ "$status" = 0 ] || case $state in
        unchanged)
            echo "No data was changed." >&2
            [ -z "$volumes" ] || docker compose up --detach --wait --no-recreate
            ;;
        replacing) echo "The data may be incomplete, so the site stays stopped: restore $file ${safety:+or $safety }again." >&2 ;;
        replaced) echo "The data is that of $file, but the site did not start." >&2 ;;
    esac
}
trap on_exit EXIT

# shellcheck disable=SC2046 # a word each
docker compose stop $(docker compose config --services | grep -vx db)
if [ -n "$volumes" ]; then
    # {% if cookiecutter.database != "sqlite" %}
    docker compose up --detach --wait --no-recreate db
    # {% endif %}
    safety=$(sh deploy/backup.sh)
    echo "What was there is in $safety"
fi

# {% if cookiecutter.database != "sqlite" %}
# Anew, for the secrets of now, and because a newer server starts on a volume of its own
docker compose up --detach --wait --force-recreate db
# {% endif %}
state=replacing
write_database <"$work/$dump"
write_media <"$work/media.tar"
state=replaced
docker compose up --detach --wait
echo "$project has the data of $file."
