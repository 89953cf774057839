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

RANDOM = od -An -N32 -tx1 /dev/urandom | tr -d ' \n'

# The folder keeps other users of this machine out, so that the containers' users may read the files.
# Root gives it to the owner of the project, as whom development runs and looks into every folder
.PHONY: secrets
secrets: secrets/database_url secrets/email_url secrets/secret_key ## Make the secrets that are missing in secrets/
	@chmod 700 secrets && chmod 444 secrets/*
	@[ "$$(id -u)" != 0 ] || chown --reference=. secrets
	@! grep -q '^smtp://localhost:25$$' secrets/email_url || \
		echo "No mail is sent yet: deploy/README.md says how to set the mail server."

# {% if cookiecutter.background_tasks == "celery" %}
# Of the cache and the queue: a password, in a line of Valkey's configuration and in an address
secrets: secrets/valkey_url

secrets/valkey_conf:
	@umask 077; mkdir -p secrets; echo "requirepass $$($(RANDOM))" > $@

secrets/valkey_url: | secrets/valkey_conf
	@umask 077; sed 's|requirepass \(.*\)|redis://default:\1@cache:6379|' secrets/valkey_conf > $@

# {% endif %}
secrets/secret_key:
	@umask 077; mkdir -p secrets; $(RANDOM) > $@

# {% if cookiecutter.database != "sqlite" %}
# Of the superuser, which only the database's container knows
secrets/database_password:
	@umask 077; mkdir -p secrets; $(RANDOM) > $@

secrets/database_owner_url: | secrets/database_password
	@umask 077; if [ -e secrets/database_url ]; then cp secrets/database_url $@; \
		else echo "{{ cookiecutter.__database_url | replace('${DATABASE_PASSWORD}', '$$($(RANDOM))') }}" > $@; fi

secrets/database_url: | secrets/database_owner_url
	@umask 077; echo "{{ cookiecutter.__database_url | replace('//owner:${DATABASE_PASSWORD}', '//app:$$($(RANDOM))') }}" > $@

# {% endif %}
# {% if cookiecutter.database == "sqlite" %}
secrets/database_url:
	@umask 077; mkdir -p secrets; echo "{{ cookiecutter.__database_url }}" > $@

# {% endif %}
secrets/email_url:
	@umask 077; mkdir -p secrets; echo "smtp://localhost:25" > $@
