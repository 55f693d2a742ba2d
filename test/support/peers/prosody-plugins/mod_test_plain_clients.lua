-- Offers no STARTTLS to clients: it is the way between servers that is looked at here.
module:hook("stream-features", function (event)
	event.features:maptags(function (tag)
		if tag.attr.xmlns == "urn:ietf:params:xml:ns:xmpp-tls" then return nil; end
		return tag;
	end);
end, -1000);
