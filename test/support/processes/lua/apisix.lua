-- What the example uses of APISIX: `core.response.exit`, and the plugins forward-auth and proxy-rewrite as far as the
-- example configures them (`apisix/plugins/forward-auth.lua`).
local http = require 'resty.http'

local apisix = {}

package.preload['apisix.core'] = function()
  return { response = { exit = ngx.exit } }
end

function apisix.forward_auth(conf)
  local headers = {}
  for name, value in pairs(conf.extra_headers) do headers[name] = value end
  for _, name in ipairs(conf.request_headers) do
    local sent = ngx.req.get_headers()[name]
    headers[name] = headers[name] or (type(sent) == 'table' and sent[1] or sent)
  end
  local client = http.new()
  client:set_timeout(conf.timeout)
  local answer = client:request_uri(conf.uri, { method = conf.request_method, headers = headers })
  if not answer then
    if conf.allow_degradation then return end
    return ngx.exit(conf.status_on_error)
  end
  if answer.status >= 300 then
    ngx.status = answer.status
    for _, name in ipairs(conf.client_headers) do ngx.header[name] = answer.headers[name] end
    ngx.print(answer.body)
    return ngx.exit(answer.status)
  end
  for _, name in ipairs(conf.upstream_headers) do ngx.req.set_header(name, answer.headers[name]) end
end

function apisix.proxy_rewrite(conf)
  for _, name in ipairs(conf.headers.remove) do ngx.req.clear_header(name) end
  ngx.req.set_uri((ngx.re.sub(ngx.var.uri, conf.regex_uri[1], conf.regex_uri[2])))
end

return apisix
