#!/bin/sh
# Make the roles of production, with the passwords in secrets/: `owner` may change tables, as migrations do, and `app` may
# read and write rows. The database runs this at its first start, and restore.sh does. To run it again:
# docker compose -f docker-compose.prod.yml exec db sh /docker-entrypoint-initdb.d/roles.sh
set -e

password_in() { sed 's/.*:\(.*\)@.*/\1/' "/run/secrets/$1"; }
owner=$(password_in database_owner_url)
app=$(password_in database_url)

# {% if cookiecutter.__backend == "postgresql" %}
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres "$POSTGRES_DB" <<SQL
SELECT format('CREATE ROLE %I', role) FROM unnest(ARRAY['owner', 'app']) AS role
    WHERE role NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE owner LOGIN PASSWORD '$owner';
ALTER ROLE app LOGIN PASSWORD '$app';
ALTER DATABASE :"DBNAME" OWNER TO owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON SEQUENCES TO app;
SQL
# {% endif %}
# {% if cookiecutter.__backend == "mysql" %}
MYSQL_PWD=$(cat /run/secrets/database_password) {{ cookiecutter._databases[cookiecutter.database].client }} --user=root <<SQL
CREATE USER IF NOT EXISTS owner IDENTIFIED BY '$owner', app IDENTIFIED BY '$app';
ALTER USER owner IDENTIFIED BY '$owner', app IDENTIFIED BY '$app';
GRANT ALL ON \`{{ cookiecutter.__database_name | replace('_', '\\_') }}\`.* TO owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON \`{{ cookiecutter.__database_name | replace('_', '\\_') }}\`.* TO app;
SQL
# {% endif %}
# {% if cookiecutter.database == "mysql" %}
# Migrations may make triggers and functions, though the server keeps a binary log
MYSQL_PWD=$(cat /run/secrets/database_password) mysql --user=root \
    --execute="SET PERSIST log_bin_trust_function_creators = ON"
# {% endif %}
