-- Where other servers are found, from the configuration instead of DNS: test_routes = { ["a.example"] = { port = 5269, direct = false } }.
module:set_global();

local service = require "net.resolvers.service";
local manual = require "net.resolvers.manual";
local routes = module:get_option("test_routes", {});
local by_dns = service.new;

function service.new(hostname, name, conn_type, extra)
	local route = routes[hostname];
	if not route then
		return by_dns(hostname, name, conn_type, extra);
	end
	local targets = {};
	if (route.direct and name == "xmpps-server") or (not route.direct and name == "xmpp-server") then
		targets[1] = { conn_type, "127.0.0.1", route.port, extra };
	end
	return manual.new(targets, conn_type, extra);
end
