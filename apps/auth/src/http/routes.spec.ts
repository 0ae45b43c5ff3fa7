import { RouteTable } from './fast-path.js';
import { authRoutes, type RouteParts } from './routes.js';

const table = () => {
  const gateway = { refusals: 'marketplace' } as const;
  const dependencies = { issuer: 'https://auth.example.com', gateway };
  const parts = { dependencies, counts: { checks: {}, refusals: {} } } as unknown as RouteParts;
  return new RouteTable(authRoutes(parts).routes);
};

it('the gateway check answers its path and whatever follows it, and no other', () => {
  const routes = table();
  const paths = ['/gateway/check', '/gateway/check/', '/gateway/check/weather/..%2f', '/gateway/checks', '/gateway'];
  expect(paths.filter((path) => routes.find('GET', path))).toEqual(paths.slice(0, 3));
});

it('an endpoint’s login has one segment before it, as it was sent', () => {
  const routes = table();
  const paths = ['/weather/login', '/%2e%2e/login', '/:endpointUri/login', '//login', '/a/b/login', '/weather/login/'];
  expect(paths.filter((path) => routes.find('POST', path))).toEqual(paths.slice(0, 3));
});

it('a document is read by GET and HEAD', () => {
  const routes = table();
  const methodOf = (method: string) => routes.find(method, '/.well-known/jwks.json')?.method;
  expect(['GET', 'HEAD', 'POST', 'OPTIONS'].map(methodOf)).toEqual(['GET', 'GET', 'ANY', 'ANY']);
});

it('only documents are found at another spelling of their path', () => {
  const routes = table();
  const paths = ['/.well-known/jwks%2Ejson', '/%6Cogin', '/%zz'];
  expect(paths.filter((path) => routes.find('GET', path))).toEqual(paths.slice(0, 1));
  expect(paths.filter((path) => routes.find('POST', path))).toEqual([]);
});
