"""`recfunnel accel`: parts of the simulated accelerator, fed with one's own tables."""

from cyclopts import App

from recfunnel.cli.accel_cache import cache
from recfunnel.cli.accel_cycles import cycles
from recfunnel.cli.accel_explore import explore
from recfunnel.cli.accel_latency import latency
from recfunnel.cli.accel_topk import topk
from recfunnel.cli.accel_trace import trace

app = App(name="accel", help="Parts of the simulated accelerator, fed with your own tables.")
app.command(cache)
app.command(cycles)
app.command(explore)
app.command(latency)
app.command(topk)
app.command(trace)
