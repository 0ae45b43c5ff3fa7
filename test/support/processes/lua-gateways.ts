import { join } from 'node:path';
import { parse } from 'yaml';

/** nginx's Lua module of Debian, with which the functions of Kong and APISIX run as in those products. */
export const LUA_MODULE = '/usr/lib/nginx/modules/ngx_http_lua_module.so';

/** Stand-ins for what Kong and APISIX give to functions. */
const STAND_INS = join(__dirname, 'lua');

/** The files from which nginx runs the function of Kong's example, under a stand-in for Kong's kit. */
export function kongAsNginx(example: string, directory: string): { access: string; nginx: string } {
  const {
    services: [service],
  } = parse(example) as {
    services: [
      { url: string; routes: [{ paths: [string] }]; plugins: [{ name: string; config: { access: [string] } }] },
    ];
  };
  return {
    access: service.plugins[0].config.access[0],
    nginx: nginxWithLua({
      init: `kong = require 'kong'; access = assert(loadfile('${directory}/access.lua'))()`,
      route: service.routes[0].paths[0],
      inRoute: `access_by_lua_block { access() }
        proxy_pass ${service.url}/;`,
    }),
  };
}

/** The files from which nginx runs the function of APISIX's example, and then stand-ins for its other plugins. */
export function apisixAsNginx(example: string, directory: string): { access: string; nginx: string } {
  const {
    routes: [route],
  } = parse(example) as {
    routes: [
      {
        uri: string;
        plugins: {
          'serverless-pre-function': { functions: [string] };
          'forward-auth': object;
          'proxy-rewrite': object;
        };
        upstream: { nodes: Record<string, number> };
      },
    ];
  };
  return {
    access: route.plugins['serverless-pre-function'].functions[0],
    nginx: nginxWithLua({
      init: `apisix = require 'apisix'; access = assert(loadfile('${directory}/access.lua'))()`,
      route: route.uri.replace('*', ''),
      inRoute: `rewrite_by_lua_block {
          access()
          apisix.forward_auth(${luaOf(route.plugins['forward-auth'])})
          apisix.proxy_rewrite(${luaOf(route.plugins['proxy-rewrite'])})
        }
        proxy_pass http://${Object.keys(route.upstream.nodes)[0]};`,
    }),
  };
}

/** Unlike in the products, nginx drops no headers here, so that the function must do it. */
const nginxWithLua = (parts: { init: string; route: string; inRoute: string }): string => `
    lua_package_path '${STAND_INS}/?.lua;;';
    init_by_lua_block { ${parts.init} }
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    server {
      listen 127.0.0.1:PORT;
      location ${parts.route} {
        ${parts.inRoute}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
      }
      location / { return 404; }
    }
`;

/** A value of a configuration as Lua writes it. */
function luaOf(value: unknown): string {
  if (Array.isArray(value)) return `{ ${value.map(luaOf).join(', ')} }`;
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value)
      .map(([name, inner]) => `[${JSON.stringify(name)}] = ${luaOf(inner)}`)
      .join(', ')} }`;
  }
  return JSON.stringify(value);
}
