%% All that needs no other node: undefined functions, and the tests of each module.
-module(all).
-export([main/0]).

-define(TESTS, [longnames_dns_tests, longnames_tests, longnames_connector_tests, longnames_epmd_tests, longnames_strategy_tests,
                longnames_check_tests]).

main() ->
    ok = undefined(filename:dirname(code:which(longnames))),
    case eunit:test(?TESTS, []) of
        ok -> halt(0);
        error -> halt(1)
    end.

undefined(Ebin) ->
    {ok, _} = xref:start(all),
    ok = xref:set_library_path(all, code_path),
    {ok, _} = xref:add_directory(all, Ebin),
    {ok, []} = xref:analyze(all, deprecated_function_calls),
    case xref:analyze(all, undefined_function_calls) of
        {ok, []} -> ok;
        {ok, Undefined} ->
            io:format("undefined: ~p~n", [Undefined]),
            halt(1)
    end.
