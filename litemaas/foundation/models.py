"""What the floor keeps in the database: the counts that limits go by."""

from django.db import models


class RateCount(models.Model):
    """How often something has happened in a period that has not ended; rate_limits.py is the only one to write it."""

    name = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    count = models.BigIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name", "subject"], name="ratecount_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.subject}: {self.count}"
