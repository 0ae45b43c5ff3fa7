-- What the examples use of lua-resty-http, which is in no Debian package: one request a connection.
local http = {}
http.__index = http

function http.new()
  return setmetatable({ timeout = 2000 }, http)
end

function http:set_timeout(milliseconds)
  self.timeout = milliseconds
end

function http:set_timeouts(_, _, read)
  self.timeout = read
end

function http:request_uri(uri, options)
  local host, port, path = uri:match('^http://([^:/]+):(%d+)(/.*)$')
  local socket = ngx.socket.tcp()
  socket:settimeout(self.timeout)
  local is_connected, problem = socket:connect(host, tonumber(port))
  if not is_connected then return nil, problem end
  local lines = { options.method .. ' ' .. path .. ' HTTP/1.1', 'Host: ' .. host, 'Connection: close' }
  for name, value in pairs(options.headers) do lines[#lines + 1] = name .. ': ' .. value end
  socket:send(table.concat(lines, '\r\n') .. '\r\n\r\n')
  local answer, failure = socket:receive('*a')
  if not answer then return nil, failure end
  local head, body = answer:match('^(.-\r\n)\r\n(.*)$')
  if not head then return nil, 'no answer' end
  local headers = setmetatable({}, { __index = function(all, name) return rawget(all, name:lower()) end })
  for name, value in head:gmatch('([%w-]+): ([^\r]*)\r\n') do headers[name:lower()] = value end
  return { status = tonumber(head:match('^HTTP/1.1 (%d+)')), headers = headers, body = body }
end

return http
