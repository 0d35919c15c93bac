%% All that needs no other node: undefined functions, documentation, and the tests of each module.
-module(all).
-export([main/0]).

-define(TESTS, [longnames_dns_tests, longnames_tests, longnames_connector_tests, longnames_epmd_tests, longnames_strategy_tests,
                longnames_check_tests]).

main() ->
    Ebin = filename:dirname(code:which(longnames)),
    ok = undefined(Ebin),
    ok = documented(filename:dirname(Ebin)),
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

%% edoc exits where a comment is none that it understands.
documented(Dir) ->
    Sources = [proplists:get_value(source, Module:module_info(compile))
               || File <- filelib:wildcard(filename:join([Dir, "ebin", "*.beam"])),
                  Module <- [list_to_atom(filename:basename(File, ".beam"))]],
    edoc:files(Sources, [{dir, filename:join(Dir, "doc")}]).
