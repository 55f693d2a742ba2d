-- Prosody on loopback for tests: plain text, no limits, flat files under the test's own folder.
run_as_root = true
daemonize = false
pidfile = "@FOLDER@/prosody.pid"
data_path = "@FOLDER@/data"
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { @C2S_PORT@ }
component_ports = { @COMPONENT_PORT@ }
component_interfaces = { "127.0.0.1" }
s2s_ports = { }
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = { "roster"; "saslauth"; "disco"; "presence"; "message"; "iq"; "offline"; "ping"; "private"; "vcard4"; "pep" }
modules_disabled = { "s2s"; "tls"; "limits"; "http"; "posix_limits" }
log = { { levels = { min = "info" }, to = "console" } }

VirtualHost "@DOMAIN@"

Component "@COMPONENT@"
	component_secret = "@SECRET@"
