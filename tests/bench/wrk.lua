-- Prints, for bench.sh: requests per second, p50 and p99 in microseconds,
-- requests, and those that failed or were answered with another status.
function done(summary, latency)
	local errors = summary.errors
	io.write(string.format("wrk %.1f %.0f %.0f %d %d\n",
		summary.requests / (summary.duration / 1e6),
		latency:percentile(50), latency:percentile(99),
		summary.requests,
		errors.status + errors.connect + errors.read + errors.write +
			errors.timeout))
end
