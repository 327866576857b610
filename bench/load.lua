-- wrk's script for every contender. The requests are lines of a file (see load.py), sent one after the other:
-- METHOD <tab> PATH <tab> token <tab> body. With "cycle" they start again at the end; else running out is told.

local requests, count, sent, cycle = {}, 0, 0, true
ran_out = 0

function init(args)
  cycle = args[2] == "cycle"
  for line in io.lines(args[1]) do
    local method, path, token, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
    local headers = {}
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    if body ~= "" then headers["Content-Type"] = "application/json" end
    count = count + 1
    requests[count] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  sent = sent + 1
  if sent > count then
    if not cycle then ran_out = ran_out + 1 end
    sent = 1
  end
  return requests[sent]
end

local thread
function setup(t) thread = t end

function done(summary, latency)
  local errors = summary.errors
  local line = '\nRESULT {"completed": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, '
    .. '"refused": %d, "broken": %d, "ran_out": %d}\n'
  io.write(line:format(
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, thread:get("ran_out")))
end
