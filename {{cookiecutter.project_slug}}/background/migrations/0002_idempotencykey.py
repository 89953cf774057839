from django.db import migrations


# reviewed: no release had the old names
class Migration(migrations.Migration):
    dependencies = [("background", "0001_initial")]

    operations = [
        migrations.RenameModel("Done", "IdempotencyKey"),
        migrations.RenameField("idempotencykey", "at", "created_at"),
    ]
