-module(longnames_dns_tests).
-include_lib("eunit/include/eunit.hrl").

-define(NAME, "shop.prod.svc.erl.internal.").

longname_test_() ->
    [{Name, ?_assertEqual(Want, longnames_dns:longname(String))}
     || {Name, Want, String} <- [{"an IPv4 address", true, "shop@10.0.0.1"},
                                 {"an IPv6 address", true, "shop@fd00::1"},
                                 {"a hostname", true, "my_shop-1@shop-0.shop.prod.svc.erl.internal"},
                                 {"255 characters", true, "shop@" ++ string:copies("a.", 124) ++ "bc"},
                                 {"256 characters", false, "shop@" ++ string:copies("a.", 124) ++ "bcd"},
                                 {"nothing", false, ""},
                                 {"no host", false, "shop"},
                                 {"an empty host", false, "shop@"},
                                 {"a host without dot", false, "shop@localhost"},
                                 {"no basename", false, "@10.0.0.1"},
                                 {"two at signs", false, "shop@a@b.c"},
                                 {"a final dot", false, "shop@a.b."},
                                 {"an empty label", false, "shop@a..b"},
                                 {"a zone of an IPv6 address", false, "shop@fe80::1%eth0"},
                                 {"colons that are no address", false, "shop@1:2:3"},
                                 {"a space", false, "sh op@a.b"},
                                 {"a character of UTF-8", false, "sh" ++ [16#c3, 16#b6] ++ "p@a.b"},
                                 {"a control character", false, "shop@a.b\n"}]].

%% What each answer is for members.
members_test_() ->
    Large = ["shop@shop-" ++ integer_to_list(I) ++ ".shop.prod.svc.erl.internal" || I <- lists:seq(1, 60)],
    [{Name, fun() -> ?assertEqual(Want, ask(Reply)) end}
     || {Name, Want, Reply} <-
            [{"members, in the server's order", {ok, ['shop@b.c', 'shop@a.c', 'web@fd00::1']},
              dns_server:txt(["shop@b.c", "shop@a.c", "web@fd00::1"])},
             {"a record of two strings is one name", {ok, ['shop@a.c']}, dns_server:txt([["sho", "p@a.c"]])},
             {"a name that is there twice is one member", {ok, ['shop@a.c']}, dns_server:txt(["shop@a.c", "shop@a.c"])},
             {"what is no longname is left out", {ok, ['shop@a.c']}, dns_server:txt(["v=spf1 -all", "shop@a.c", "shop@b"])},
             {"no records", {error, empty}, dns_server:txt([])},
             {"no longname at all", {error, empty}, dns_server:txt(["v=spf1 -all"])},
             {"records of another type", {error, empty}, dns_server:srv([{"a.c", 4369}])},
             {"NXDOMAIN", {error, nxdomain}, dns_server:rcode(3)},
             {"SERVFAIL", {error, servfail}, dns_server:rcode(2)},
             {"REFUSED", {error, refused}, dns_server:rcode(5)},
             {"FORMERR", {error, formerr}, dns_server:rcode(1)},
             {"NOTIMP", {error, notimp}, dns_server:rcode(4)},
             {"a malformed one", {error, formerr}, dns_server:malformed()},
             {"truncated by UDP, whole by TCP", {ok, [list_to_atom(N) || N <- Large]},
              fun(udp, Q) -> (dns_server:truncated())(udp, Q); (tcp, Q) -> (dns_server:txt(Large))(tcp, Q) end},
             %% Some builds of OTP take that for a malformed one, so it has to be asked by TCP as well.
             {"malformed by UDP, whole by TCP", {ok, ['shop@a.c']},
              fun(udp, Q) -> (dns_server:malformed())(udp, Q); (tcp, Q) -> (dns_server:txt(["shop@a.c"]))(tcp, Q) end}]].

%% Nobody is asked.
no_name_test_() ->
    [{Name, fun() ->
         Server = dns_server:start(dns_server:txt(["shop@a.c"])),
         Opts = #{nameservers => dns_server:nameservers(Server)},
         Got = {longnames_dns:members(Wrong, Opts), dns_server:asked(Server)},
         dns_server:stop(Server),
         ?assertEqual({{error, einval}, []}, Got)
     end} || {Name, Wrong} <- [{"nothing", ""}, {"a dot", "."}, {"an empty label", "shop..svc.erl.internal"}, {"a newline", "shop.prod\n"},
                               {"UTF-8", <<"sh\x{f6}p.prod"/utf8>>}, {"64 characters", lists:duplicate(64, $a) ++ ".prod"},
                               {"254 characters", string:copies("a.", 126) ++ "bc"}, {"254 characters and a dot", string:copies("a.", 126) ++ "bc."}, {"an atom", shop}]].

options_test_() ->
    [{lists:flatten(io_lib:format("~p ~p", [Key, Value])), ?_assertError({bad_option, Key, Value, [_ | _]}, longnames:members(?NAME, [{Key, Value}]))}
     || {Key, Values} <- [{name, [nil, shop, "", "shop..svc"]}, {nameservers, [default, [{127, 0, 0, 1}], [{"127.0.0.1", 53}], [{{127, 0, 0, 1}, 0}]]},
                          {timeout, [infinity, 0, "5000"]}, {interval, ["15000", 0]}, {disconnect_after, [0, infinity]}, {margin, [-1, none]},
                          {wait_for_address, [infinity, -1, "10000"]}, {max_names, [infinity]}], Value <- Values].

no_answer_test_() ->
    [{"a hung server", {timeout, 10, fun() ->
         Server = dns_server:start(fun(_, _) -> none end),
         Opts = #{nameservers => dns_server:nameservers(Server), timeout => 1500},
         ?assertEqual({error, timeout}, longnames_dns:members(?NAME, Opts)),
         ?assertEqual([{udp, txt}, {udp, txt}], dns_server:asked(Server)),
         dns_server:stop(Server)
     end}},
     {"a lost packet", {timeout, 10, fun() ->
         Lost = atomics:new(1, []),
         Server = dns_server:start(fun(T, Q) ->
                                           case atomics:add_get(Lost, 1, 1) of
                                               1 -> none;
                                               _ -> (dns_server:txt(["shop@a.c"]))(T, Q)
                                           end
                                   end),
         ?assertEqual({ok, ['shop@a.c']}, longnames_dns:members(?NAME, #{nameservers => dns_server:nameservers(Server)})),
         dns_server:stop(Server)
     end}},
     {"no server", fun() ->
         Server = dns_server:start(fun(_, _) -> none end),
         Opts = #{nameservers => dns_server:nameservers(Server)},
         dns_server:stop(Server),
         timer:sleep(10),
         ?assertEqual({error, econnrefused}, longnames_dns:members(?NAME, Opts))
     end},
     {"malformed by UDP, whole by TCP, and there is no second server", fun() ->
         Server = dns_server:start(fun(udp, Q) -> (dns_server:malformed())(udp, Q); (tcp, Q) -> (dns_server:txt(["shop@a.c"]))(tcp, Q) end),
         Opts = #{nameservers => dns_server:nameservers(Server) ++ [{{127, 0, 0, 1}, 9}]},
         ?assertEqual({ok, ['shop@a.c']}, longnames_dns:members(?NAME, Opts)),
         dns_server:stop(Server)
     end},
     {"the second server answers where the first is not there", fun() ->
         Server = dns_server:start(dns_server:txt(["shop@a.c"])),
         Opts = #{nameservers => [{{127, 0, 0, 1}, 9} | dns_server:nameservers(Server)]},
         ?assertEqual({ok, ['shop@a.c']}, longnames_dns:members(?NAME, Opts)),
         dns_server:stop(Server)
     end}].

%% 1232 bytes are asked for, so 60 names of 40 characters are not truncated by a server that has room for them.
edns_test() ->
    Self = self(),
    Server = dns_server:start(fun(T, Q) -> Self ! {asked, Q}, (dns_server:txt(["shop@a.c"]))(T, Q) end),
    {ok, _} = longnames_dns:members(?NAME, #{nameservers => dns_server:nameservers(Server)}),
    Question = receive {asked, Q} -> Q end,
    ?assertMatch(<<_:10/binary, 1:16, _/binary>>, Question), % one additional record,
    ?assertNotEqual(nomatch, binary:match(Question, <<0, 41:16, 1232:16>>)), % which is OPT
    dns_server:stop(Server).

ports_test_() ->
    [{Name, fun() ->
         Server = dns_server:start(Reply),
         ?assertEqual(Want, longnames_dns:ports(?NAME, #{nameservers => dns_server:nameservers(Server)})),
         dns_server:stop(Server)
     end} || {Name, Want, Reply} <- [{"hosts and ports", {ok, [{"10.0.0.1", 9100}, {"a.b", 4369}]}, dns_server:srv([{"10.0.0.1", 9100}, {"a.b", 4369}])},
                                     {"no records", {error, empty}, dns_server:srv([])},
                                     {"SERVFAIL", {error, servfail}, dns_server:rcode(2)}]].

has_address_test_() ->
    [{Name, fun() ->
         Server = dns_server:start(Reply),
         Opts = #{nameservers => dns_server:nameservers(Server), timeout => 100},
         ?assertEqual(Want, longnames_dns:has_address("shop-0.erl.internal", Opts)),
         dns_server:stop(Server)
     end} || {Name, Want, Reply} <- [{"an address", true, dns_server:a([{10, 0, 0, 1}])},
                                     {"no address", false, dns_server:a([])},
                                     {"no such host", false, dns_server:rcode(3)},
                                     {"no answer", false, fun(_, _) -> none end}]].

%% Messages of random bytes, and right ones with some of them changed, are errors or members, and nothing else.
junk_test_() ->
    {timeout, 60, fun() ->
        rand:seed(exsss, {1, 2, 3}),
        Good = dns_server:txt(["shop@10.0.0.1", "shop@fd00::1", "no name"]),
        Server = dns_server:start(fun(T, <<Id:16, _/binary>> = Q) ->
                                          case rand:uniform(3) of
                                              1 -> <<Id:16, (rand:bytes(rand:uniform(64)))/binary>>;
                                              2 -> changed(Good(T, Q), rand:uniform(4));
                                              3 -> binary:part(Good(T, Q), 0, rand:uniform(byte_size(Good(T, Q))))
                                          end
                                  end),
        Opts = #{nameservers => dns_server:nameservers(Server), timeout => 50},
        Results = [longnames_dns:members(?NAME, Opts) || _ <- lists:seq(1, 300)],
        ?assertEqual([], [R || R <- Results, not sane(R)]),
        ?assertNotEqual([], [R || R = {ok, _} <- Results]), % some of it can be read
        dns_server:stop(Server)
    end}.

sane({ok, [_ | _] = Members}) -> lists:all(fun(M) -> longnames_dns:longname(atom_to_list(M)) end, Members);
sane({error, Reason}) -> is_atom(Reason) andalso is_list(lists:flatten(longnames_check:reason(Reason)));
sane(_) -> false.

changed(Message, 0) -> Message;
changed(<<Id:16, Message/binary>>, Times) ->
    At = rand:uniform(byte_size(Message)) - 1,
    <<Before:At/binary, _, After/binary>> = Message,
    changed(<<Id:16, Before/binary, (rand:uniform(256) - 1), After/binary>>, Times - 1).

%% A million names, in answers of a thousand, that no node can have.
atoms_test_() ->
    {timeout, 120, fun() ->
        Server = dns_server:start(fun(_, _) -> none end),
        Opts = #{nameservers => dns_server:nameservers(Server)},
        dns_server:set(Server, dns_server:txt(["shop@a.c"])),
        {ok, _} = longnames_dns:members(?NAME, Opts),
        Ask = fun(I) ->
                      dns_server:set(Server, dns_server:txt([["junk-" ++ integer_to_list(I * 1000 + J)] || J <- lists:seq(1, 1000)])),
                      {error, empty} = longnames_dns:members(?NAME, Opts)
              end,
        Ask(0), % which loads all code, and that has atoms
        Before = erlang:system_info(atom_count),
        lists:foreach(Ask, lists:seq(1, 1000)),
        ?assert(erlang:system_info(atom_count) - Before < 1000), % modules that are loaded meanwhile have some
        dns_server:stop(Server)
    end}.

%% Names that nodes could have are known up to the bound. Those that are known already are known beyond it.
bound_test_() ->
    {timeout, 30, fun() ->
        persistent_term:erase(longnames_dns),
        logger:set_primary_config(level, none),
        Name = fun(I) -> "bound@" ++ integer_to_list(I) ++ ".c" end,
        Server = dns_server:start(dns_server:txt([Name(I) || I <- lists:seq(1, 10)])),
        Opts = #{nameservers => dns_server:nameservers(Server), max_names => 15},
        {ok, First} = longnames_dns:members(?NAME, Opts),
        dns_server:set(Server, dns_server:txt([Name(I) || I <- lists:seq(1, 30)])),
        {ok, Second} = longnames_dns:members(?NAME, Opts),
        {ok, Third} = longnames_dns:members(?NAME, Opts),
        persistent_term:erase(longnames_dns),
        logger:set_primary_config(level, notice),
        ?assertEqual({10, 15, 15}, {length(First), length(Second), length(Third)}),
        ?assertError(badarg, list_to_existing_atom(Name(16))),
        dns_server:stop(Server)
    end}.

ask(Reply) ->
    Server = dns_server:start(Reply),
    Result = longnames_dns:members(?NAME, #{nameservers => dns_server:nameservers(Server)}),
    dns_server:stop(Server),
    Result.
