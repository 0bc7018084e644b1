"""Tables of one's own with something to learn in them, and short deterministic studies of them."""

from pathlib import Path

import numpy as np

from data_samples import write_text

NUM_ITEMS = 140
NUM_TASTES = 4

SHOP_TOML = """
task = "implicit"
file = "purchases.csv"
user = "customer"
item = "article"
rating = "stars"
min_rating = 4
items_file = "articles.csv"

[[features]]
name = "country"
kind = "categorical"
side = "context"

[[features]]
name = "price"
kind = "dense"
scale = "log"

[[features]]
name = "tags"
kind = "multi_valued"
"""

REQUESTS_TOML = """
task = "ctr"
file = "impressions.csv"
label = "clicked"
query = "request"

[[features]]
name = "device"
kind = "categorical"
side = "context"

[[features]]
name = "ad"
kind = "categorical"
min_count = 5

[[features]]
name = "price"
kind = "dense"
"""

SHORT_STUDY = """
recipe = "{recipe}"

[platform]
kind = "roofline"
name = "cpu"
description = "a described machine"
memory_bytes = 8589934592
bandwidth_bytes_per_s = 20e9
compute_flops_per_s = 2e11
launch_overhead_s = 20e-6
num_cores = 2

[profile]
source = "modelled"

[space]
keep_counts = [{keep_count}]
num_answers = 10
max_stages = 2

[simulate]
num_queries = 2000
num_replications = 3
"""


def write_short_study(folder: Path, recipe: str, keep_count: int) -> Path:
    """A study of a recipe on a described machine, as a user would write it."""
    path = folder / "short.toml"
    path.write_text(SHORT_STUDY.format(recipe=recipe, keep_count=keep_count))
    return path


def write_shop(folder: Path) -> Path:
    """Customers of four tastes, equally many of each, who buy mostly articles of their taste."""
    rng = np.random.default_rng(0)
    lines = ["customer,article,stars,country"]
    for customer in range(200):
        taste = customer % NUM_TASTES
        liked = rng.choice(np.arange(taste, NUM_ITEMS, NUM_TASTES), 14, replace=False)
        tried = np.unique([*liked, *rng.choice(NUM_ITEMS, 4, replace=False)])
        for article in tried:
            stars = 3 + 2 * (article % NUM_TASTES == taste)
            lines.append(f"c{customer},a{article},{stars},{'NSEW'[taste]}")
    write_text(folder / "purchases.csv", lines)
    articles = [
        f"a{n},{rng.random() * 50:.2f},t{n % NUM_TASTES}|u{n % 7}" for n in range(NUM_ITEMS)
    ]
    write_text(folder / "articles.csv", ["article,price,tags", *articles])
    (folder / "shop.toml").write_text(SHOP_TOML)
    return folder / "shop.toml"


def write_requests(folder: Path, num_requests: int = 400) -> Path:
    """Requests of 12 to 24 rows; even ads are clicked on phones, odd ones on desks."""
    rng = np.random.default_rng(1)
    lines = ["request,clicked,device,ad,price"]
    for request in range(num_requests):
        device = request % 2
        for _ in range(rng.integers(12, 25)):
            ad, price = int(rng.zipf(1.3)) % 60, 10 * rng.random()
            odds = (1.5 if ad % 2 == device else -1.5) - 0.2 * (price - 5) - 1
            click = int(rng.random() < 1 / (1 + np.exp(-odds)))
            lines.append(f"r{request},{click},{'pd'[device]},ad{ad},{price:.2f}")
    write_text(folder / "impressions.csv", lines)
    (folder / "requests.toml").write_text(REQUESTS_TOML)
    return folder / "requests.toml"


def write_click_log(path: Path, num_rows: int = 4000) -> Path:
    """Rows in Criteo's format whose clicks follow the first two categories and the first number."""
    rng = np.random.default_rng(2)
    lines = []
    for _ in range(num_rows):
        kinds = rng.integers(0, 12, 26)
        first = int(rng.integers(0, 50))
        odds = 1.5 * (kinds[0] % 3 == 0) - 1.5 * (kinds[1] % 2) + 0.04 * first - 2
        label = int(rng.random() < 1 / (1 + np.exp(-odds)))
        numbers = [str(first), *("" if rng.random() < 0.3 else "7" for _ in range(12))]
        lines.append("\t".join([str(label), *numbers, *(f"{kind:08x}" for kind in kinds)]))
    return write_text(path, lines)
