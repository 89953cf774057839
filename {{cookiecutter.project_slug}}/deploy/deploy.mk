# Of production; included by the Makefile, so paths start at the project's folder

.PHONY: build
build: ## Build the production image
	docker build --tag "{{ cookiecutter.project_slug }}" .

.PHONY: deploy
deploy: secrets ## Build and start, or replace the running site without losing a request
	@sh deploy/deploy.sh

.PHONY: rollback
rollback: ## Go back to the image before the last deploy, without losing a request
	@sh deploy/deploy.sh rollback

# Closed to others on this machine by the folder, and yet readable for the users of the containers
.PHONY: secrets
secrets: ## Make those secrets of production that are missing, in secrets/
	@mkdir -p secrets && chmod 700 secrets; umask 333; for name in secret_key database_password; do \
		test -f secrets/$$name || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > secrets/$$name; done; \
		password=$$(cat secrets/database_password); test -f secrets/database_url || \
		echo "{{ cookiecutter.__database_url | replace('${DATABASE_PASSWORD}', '$$password') }}" > secrets/database_url; \
		test -f secrets/email_url || echo "smtp://localhost:25" > secrets/email_url; chmod 444 secrets/*

# {% if cookiecutter.database == "postgresql" %}
.PHONY: upgrade-db
upgrade-db: ## Take the data to the version of PostgreSQL in docker-compose.prod.yml
	@sh deploy/upgrade-db.sh

# {% endif %}
.PHONY: backup
backup: ## Write database and media into one file in backups/
	@sh deploy/backup.sh

.PHONY: restore
restore: ## Replace database and media by those of a backup: FILE=backups/…
	@sh deploy/restore.sh "$(FILE)"
