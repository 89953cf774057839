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

.PHONY: backup
backup: ## Write the database and the uploaded files into one file in backups/
	@sh deploy/backup.sh

.PHONY: restore
restore: ## Replace both by those of a backup: FILE=backups/…
	@sh deploy/restore.sh "$(FILE)"

# The folder keeps other users of this machine out, so that the containers' users may read the files
.PHONY: secrets
secrets: secrets/database_url secrets/email_url secrets/secret_key ## Make the secrets that are missing in secrets/
	@chmod 700 secrets && chmod 444 secrets/*
	@! grep -q '^smtp://localhost:25$$' secrets/email_url || \
		echo "No mail is sent yet: deploy/README.md says how to set the mail server."

# {% if cookiecutter.background_tasks == "celery" %}
# Of the cache and the queue: a password, in a line of Valkey's configuration and in an address
secrets: secrets/valkey_url

secrets/valkey_conf:
	@umask 077; mkdir -p secrets; echo "requirepass $$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > $@

secrets/valkey_url: | secrets/valkey_conf
	@umask 077; sed 's|requirepass \(.*\)|redis://default:\1@cache:6379|' secrets/valkey_conf > $@

# {% endif %}
secrets/secret_key secrets/database_password:
	@umask 077; mkdir -p secrets; od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > $@

secrets/database_url: | secrets/database_password
	@umask 077; password=$$(cat secrets/database_password); \
		echo "{{ cookiecutter.__database_url | replace('${DATABASE_PASSWORD}', '$$password') }}" > $@

secrets/email_url:
	@umask 077; mkdir -p secrets; echo "smtp://localhost:25" > $@
