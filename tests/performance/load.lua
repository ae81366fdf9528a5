-- What the load generator sends and what it says at the end: one line of JSON. REQUESTS names a file with one request a
-- line (method, path, headers, body, separated by tabs; headers by "|"); without an end it begins again.
local requests, turn = {}, 0

function init(args)
  for line in io.lines(os.getenv("REQUESTS")) do
    local method, path, sent, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
    local headers = {["Host"] = os.getenv("TARGET_HOST"), ["Accept-Encoding"] = "gzip"}
    for name, value in sent:gmatch("([^:|]+): ([^|]+)") do headers[name] = value end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50": %.3f, "p95": %.3f, "p99": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
