"""What a role of the database may not do: statements, and how each server refuses them."""

import json

from tests.stack import Stack

# Out of the database: its server, the machine under it, and other roles
ESCAPES = {
    "postgresql": [
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY users_user FROM PROGRAM 'id'",
        "COPY users_user TO '/tmp/stolen'",
        "SELECT pg_read_file('/run/secrets/database_password')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/run/secrets/database_password')",
        "SELECT * FROM pg_authid",
        "SELECT pg_reload_conf()",
        "ALTER SYSTEM SET log_statement = 'all'",
        "CREATE ROLE intruder",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER ROLE postgres PASSWORD 'mine'",
        "SET ROLE postgres",
        "CREATE DATABASE intruder",
    ],
    "mysql": [
        "SELECT * FROM mysql.user",
        "SELECT 1 INTO OUTFILE '/tmp/stolen'",
        "LOAD DATA INFILE '/run/secrets/database_password' INTO TABLE users_user",
        "SHOW CREATE USER root",
        "SET GLOBAL general_log = ON",
        "CREATE FUNCTION intruder RETURNS STRING SONAME 'intruder.so'",
        "CREATE USER intruder",
        "ALTER USER root IDENTIFIED BY 'mine'",
        "GRANT ALL ON *.* TO owner",
        "CREATE DATABASE intruder",
    ],
}

# Anything but rows
CHANGES = {
    "postgresql": [
        "CREATE TABLE planted (id int)",
        "CREATE TEMPORARY TABLE planted (id int)",
        "CREATE SCHEMA planted",
        "CREATE EXTENSION pg_trgm",
        "CREATE FUNCTION planted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE owner",
        "ALTER TABLE users_user ADD planted int",
        "TRUNCATE users_user CASCADE",
        "DROP TABLE django_session",
    ],
    "mysql": [
        "CREATE TABLE planted (id int)",
        "CREATE TEMPORARY TABLE planted (id int)",
        "CREATE VIEW planted AS SELECT 1",
        "CREATE PROCEDURE planted() SELECT 1",
        "CREATE TRIGGER planted BEFORE INSERT ON users_user FOR EACH ROW SET NEW.id = 1",
        "CREATE EVENT planted ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "ALTER TABLE users_user ADD planted int",
        "TRUNCATE django_session",
        "DROP TABLE django_session",
    ],
}

# What migrations do
MIGRATION = {
    "postgresql": [
        "CREATE TABLE grown (id int PRIMARY KEY)",
        "CREATE INDEX grown_index ON grown (id)",
        "ALTER TABLE grown ADD user_id int REFERENCES users_user",
        "CREATE EXTENSION pg_trgm",
        "DROP EXTENSION pg_trgm",
        "DROP TABLE grown",
    ],
    "mysql": [
        "CREATE TABLE grown (id int PRIMARY KEY, user_id bigint REFERENCES users_user (id))",
        "CREATE INDEX grown_index ON grown (user_id)",
        "CREATE TRIGGER grown_trigger BEFORE INSERT ON grown FOR EACH ROW SET NEW.id = 1",
        "DROP TABLE grown",
    ],
}

# Where the roles of a Compose project are
AS_APP = ("docker", "compose", "exec", "--no-TTY", "web")
AS_OWNER = ("docker", "compose", "run", "--rm", "--no-deps", "--no-TTY", "migrate")

# Codes of insufficient privilege; https://mariadb.com/kb/en/mariadb-error-codes/ has those of both servers
DENIED = {"42501", "1044", "1045", "1142", "1227", "1370", "1410"}

TRY = """
import json
from django.db import Error, connection
refused = {{}}
for statement in {statements}.get(connection.vendor, []):
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        refused[statement] = "allowed"
    except Error as error:
        refused[statement] = str(getattr(error.__cause__, "sqlstate", None) or error.args[0])
print(json.dumps(refused))
"""


def not_denied(stack: Stack, *into: str, statements: dict[str, list[str]]) -> dict[str, str]:
    """The statements that were not refused for want of a right, and what came of them.

    `into` is the command that runs others in a container of the role.
    """
    code = TRY.format(statements=statements)
    shell = ("python", "manage.py", "shell", "--no-imports", "--command", code)
    told: dict[str, str] = json.loads(stack.run(*into, *shell).stdout.splitlines()[-1])
    return {statement: code for statement, code in told.items() if code not in DENIED}
