from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("background", "0001_initial")]

    operations = [
        migrations.RenameModel("Done", "IdempotencyKey"),
        migrations.RenameField("idempotencykey", "at", "created_at"),
    ]
