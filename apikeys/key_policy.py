"""The policy for keys as data."""

from django.db import models

from litemaas.foundation import validators


class KeyPolicy(models.Model):
    """What keys get when a limit is left out, and what they may have at most. One row; null is no bound."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    default_max_budget = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, blank=True, validators=[validators.validate_budget]
    )
    default_budget_duration = models.CharField(
        max_length=10, blank=True, validators=[validators.validate_budget_duration]
    )
    default_tpm_limit = models.BigIntegerField(null=True, blank=True, validators=[validators.validate_rate_limit])
    default_rpm_limit = models.BigIntegerField(null=True, blank=True, validators=[validators.validate_rate_limit])
    default_max_parallel_requests = models.BigIntegerField(
        null=True, blank=True, validators=[validators.validate_rate_limit]
    )
    default_expires_days = models.PositiveIntegerField(null=True, blank=True)
    maximum_max_budget = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, blank=True, validators=[validators.validate_budget]
    )
    maximum_tpm_limit = models.BigIntegerField(null=True, blank=True, validators=[validators.validate_rate_limit])
    maximum_rpm_limit = models.BigIntegerField(null=True, blank=True, validators=[validators.validate_rate_limit])
    maximum_max_parallel_requests = models.BigIntegerField(
        null=True, blank=True, validators=[validators.validate_rate_limit]
    )
    maximum_expires_days = models.PositiveIntegerField(null=True, blank=True)
    # 7d and 30d are always allowed, so this may be shorter but not longer than a week.
    minimum_budget_duration = models.CharField(
        max_length=10, default="1d", validators=[validators.validate_budget_duration]
    )
    default_grace_seconds = models.PositiveIntegerField(default=86_400)
    maximum_grace_seconds = models.PositiveIntegerField(default=604_800)
    keys_per_user = models.PositiveIntegerField(default=50)
    creations_per_hour = models.PositiveIntegerField(default=60)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="key_policy_one_row"),)

    def __str__(self) -> str:
        return "key policy"
