-module(longnames_tests).
-include_lib("eunit/include/eunit.hrl").

-define(NAME, <<"shop.prod.svc.erl.internal">>).

members_test() ->
    Server = dns_server:start(dns_server:txt(["shop@b.c", "shop@a.c"])),
    Nameservers = dns_server:nameservers(Server),
    ?assertEqual({ok, ['shop@b.c', 'shop@a.c']}, longnames:members(?NAME, [{nameservers, Nameservers}])),
    ?assertEqual({ok, ['shop@b.c', 'shop@a.c']}, longnames:members("shop.", #{nameservers => Nameservers})),
    dns_server:stop(Server).

%% Answers in turn, half a second apart; the last one is repeated.
await_test_() ->
    One = dns_server:txt(["shop@b.c"]),
    Two = dns_server:txt(["shop@b.c", "shop@a.c"]),
    Mixed = dns_server:txt(["shop@a.c", "shop@b.c"]),
    Other = dns_server:txt(["shop@d.c", "shop@b.c"]),
    Failed = dns_server:rcode(2),
    {inparallel,
     [{Name, {timeout, 20, fun() ->
           Turn = atomics:new(1, []),
           Server = dns_server:start(in_turn(Turn, Answers)),
           Opts = [{nameservers, dns_server:nameservers(Server)}, {margin, 900}],
           Got = longnames:await(?NAME, Count, Timeout, Opts),
           ?assertEqual({Want, Questions}, {Got, atomics:get(Turn, 1)}),
           dns_server:stop(Server)
       end}} || {Name, Want, Questions, Count, Timeout, Answers} <-
                    [{"the members, sorted, after the margin", {ok, ['shop@a.c', 'shop@b.c']}, 3, 2, 5000, [Two]},
                     {"another order is the same set", {ok, ['shop@a.c', 'shop@b.c']}, 3, 2, infinity, [Two, Mixed, Two]},
                     {"too few at first", {ok, ['shop@a.c', 'shop@b.c']}, 5, 2, 5000, [One, One, Two]},
                     {"another set begins the margin anew", {ok, ['shop@a.c', 'shop@b.c']}, 5, 2, 5000, [Two, Other, Two]},
                     {"an error in between does not", {ok, ['shop@a.c', 'shop@b.c']}, 3, 2, 5000, [Two, Failed, Two]},
                     {"an error does not end it", {ok, ['shop@a.c', 'shop@b.c']}, 4, 2, 5000, [Two, Failed, Failed, Two]},
                     {"too few for too long", {error, {timeout, {ok, ['shop@b.c']}}}, 2, 2, 900, [One]},
                     {"a question that had no time", {error, {timeout, {ok, ['shop@b.c']}}}, 2, 2, 900, [One, fun(_, _) -> none end]},
                     {"nothing but errors", {error, {timeout, {error, servfail}}}, 2, 2, 900, [Failed]}]]}.

in_turn(Turn, Answers) ->
    fun(Transport, Question) ->
            %% After a SERVFAIL inet_res asks again without EDNS. That is the same turn.
            case binary:part(Question, 10, 2) of <<0, 0>> -> ok; _ -> atomics:add(Turn, 1, 1) end,
            (lists:nth(min(atomics:get(Turn, 1), length(Answers)), Answers))(Transport, Question)
    end.

founder_test_() ->
    [{Name, fun() ->
         Server = dns_server:start(Reply),
         ?assertEqual(Want, longnames:founder(?NAME, #{nameservers => dns_server:nameservers(Server)})),
         dns_server:stop(Server)
     end} || {Name, Want, Reply} <- [{"the first by name", {ok, 'shop@a.c'}, dns_server:txt(["shop@b.c", "shop@a.c", "shop@d.c"])},
                                     {"nobody", {error, nxdomain}, dns_server:rcode(3)}]].
