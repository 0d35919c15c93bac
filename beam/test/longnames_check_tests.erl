-module(longnames_check_tests).
-include_lib("eunit/include/eunit.hrl").

%% What is wrong, and a word of what is said about it. The node that runs this is beam@127.0.0.1, without epmd.
findings_test_() ->
    Own = atom_to_list(node()),
    [{Name, {timeout, 20, fun() ->
         Server = dns_server:start(Reply),
         Findings = longnames_check:findings("shop.erl.internal", #{nameservers => dns_server:nameservers(Server), timeout => 300}),
         dns_server:stop(Server),
         Errors = [unicode:characters_to_list(Text) || {error, Text} <- Findings],
         ?assertMatch({Want, [_ | _]}, {Want, [E || E <- Errors, string:find(E, Want) =/= nomatch]})
     end}} || {Name, Want, Reply} <-
                  [{"NXDOMAIN", "group_by", dns_server:rcode(3)},
                   {"another server", "TXT records are needed", dns_server:txt([])},
                   {"SERVFAIL", "logs of CoreDNS", dns_server:rcode(2)},
                   {"REFUSED", "acl", dns_server:rcode(5)},
                   {"a network policy", "UDP and TCP", fun(_, _) -> none end},
                   {"another basename", "is listed as web@127.0.0.1", dns_server:txt(["web@127.0.0.1"])},
                   {"another host", "the host has to be as in there", dns_server:txt(["beam@127.0.0.2"])},
                   {"not selected", "not selected", dns_server:txt(["web@127.0.0.2"])},
                   {"a host that does not resolve", "does not resolve", dns_server:txt([Own, "web@no.such.host.invalid"])},
                   {"nobody listens", "epmd at 127.0.0.2", dns_server:txt([Own, "web@127.0.0.2"])}]].

no_name_server_test() ->
    ?assertMatch([_, {error, Text}] when Text =/= [], longnames_check:findings("shop.erl.internal", #{nameservers => []})).

nothing_named_test() ->
    _ = application:stop(longnames),
    [{error, Text}] = longnames_check:findings(#{}),
    ?assertNotEqual(nomatch, string:find(Text, "No cluster is named")).
