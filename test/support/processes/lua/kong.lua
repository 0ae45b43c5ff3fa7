-- What the example uses of Kong's plugin development kit, as `kong/pdk` has it.
local function exit(status, body, headers)
  ngx.status = status
  for name, value in pairs(headers or {}) do ngx.header[name] = value end
  if body then ngx.print(body) end
  return ngx.exit(status)
end

return {
  response = { exit = exit },
  service = { request = { set_header = ngx.req.set_header, clear_header = ngx.req.clear_header } },
  vault = {
    get = function(reference)
      return reference == '{vault://env/gateway-secret}' and os.getenv('GATEWAY_SECRET') or nil
    end,
  },
  log = {
    err = function(...) ngx.log(ngx.ERR, ...) end,
    set_serialize_value = function() end,
  },
}
