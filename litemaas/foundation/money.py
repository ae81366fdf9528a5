"""The only place that rounds amounts of money and puts the currency's sign to them."""

from decimal import Decimal
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _

CENT: Final = Decimal("0.01")


def dollars(amount: Decimal, places: int = 2) -> str:
    """US dollars with so many decimal places, as the reader's language writes them; halves go to the even digit."""
    # number_format() cuts off instead of rounding.
    rounded = round(amount, places) if places else round(amount)
    # Translators: an amount of US dollars; put the sign where your language has it, such as "%(amount)s $".
    return _("$%(amount)s") % {"amount": number_format(rounded, places, force_grouping=True)}
