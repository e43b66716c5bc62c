"""What predictions cost on a device, from its profile's price and power.

    seconds a prediction = 1 / throughput
    cost per million     = 10^6 * seconds / 3600 * (price_per_hour + power_w / 1000 * price_per_kwh)

The device is taken to be busy all the time; an idle hour costs as much and predicts nothing.
"""

from __future__ import annotations

from typing import Any

from ...device_profiles.profile import DeviceProfile

FORMULA = "10^6 / throughput / 3600 * (price_per_hour + power_w / 1000 * price_per_kwh)"
_MILLION = 1e6


def cost_of(throughput: float | None, profile: DeviceProfile | None, price_per_kwh: float | None) -> dict[str, Any] | None:
    """JSON object of the cost of a million predictions, or None where the profile has neither a price nor a power.

    `throughput` is samples a second, measured on the profile's CPU. `per_million` is in the currency of the prices, null where
    the profile has a power alone and nothing says what a kilowatt-hour costs; `kwh_per_million` is there with a power.
    """
    if profile is None or not throughput or (profile.price_per_hour is None and profile.power_w is None):
        return None
    hours = _MILLION / throughput / 3600
    kwh = None if profile.power_w is None else hours * profile.power_w / 1000
    parts = [] if profile.price_per_hour is None else [hours * profile.price_per_hour]
    if kwh is not None and price_per_kwh is not None:
        parts.append(kwh * price_per_kwh)
    return {
        "per_million": sum(parts) if parts else None,
        "kwh_per_million": kwh,
        "price_per_hour": profile.price_per_hour,
        "power_w": profile.power_w,
        "price_per_kwh": price_per_kwh,
        "formula": FORMULA,
    }
