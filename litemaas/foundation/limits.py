"""The columns that everything with a budget shares, so that they mean the same everywhere."""

from decimal import Decimal
from typing import ClassVar, Final

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from litemaas.foundation import validators

# From this share of a budget on somebody should look. A budget of nothing is used up before anything was spent:
# LiteLLM refuses every call, so it counts; no budget at all never does.
NEARLY: Final = Decimal("0.8")
NEARLY_SPENT: Final = Q(spend__gte=F("max_budget") * NEARLY)


class Limited(models.Model):
    """Limits are USD a period and figures a minute; null is no limit.

    ``spend`` and ``budget_resets_at`` are LiteLLM's: they are copied here so that reading never asks LiteLLM.
    """

    max_budget = models.DecimalField(
        _("budget"), max_digits=20, decimal_places=10, null=True, blank=True, validators=[validators.validate_budget]
    )
    budget_duration = models.CharField(
        _("budget period"), max_length=10, blank=True, validators=[validators.validate_budget_duration]
    )
    tpm_limit = models.BigIntegerField(
        _("tokens per minute"), null=True, blank=True, validators=[validators.validate_rate_limit]
    )
    rpm_limit = models.BigIntegerField(
        _("requests per minute"), null=True, blank=True, validators=[validators.validate_rate_limit]
    )
    spend = models.DecimalField(max_digits=20, decimal_places=10, default=0, editable=False)
    budget_resets_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            models.CheckConstraint(
                condition=Q(max_budget=None) | Q(max_budget__gte=0), name="%(app_label)s_%(class)s_budget_positive"
            ),
            models.CheckConstraint(
                condition=Q(tpm_limit=None) | Q(tpm_limit__gt=0), name="%(app_label)s_%(class)s_tpm_positive"
            ),
            models.CheckConstraint(
                condition=Q(rpm_limit=None) | Q(rpm_limit__gt=0), name="%(app_label)s_%(class)s_rpm_positive"
            ),
        )
