-- Prints what was measured as JSON, after wrk's own report
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"rate": %f, "p99": %f, "failed": %d}\n',
    summary.requests / summary.duration * 1e6,
    latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
