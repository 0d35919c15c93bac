%% @doc The members of an Erlang cluster, by DNS, from the CoreDNS plugin longnames.
%%
%% Names of clusters are strings or binaries, and options maps or property lists: see {@link longnames_dns:opts()}.
-module(longnames).

-export([members/1, members/2, await/3, await/4, founder/1, founder/2, status/0, check/0, child_spec/1]).

-type opts() :: map() | [{atom(), term()}].

%% @equiv members(Name, #{})
-spec members(longnames_dns:name()) -> {ok, [node()]} | {error, longnames_dns:reason()}.
members(Name) -> members(Name, #{}).

%% @doc Asks who the members of the cluster are, and returns them in the server's order.
-spec members(longnames_dns:name(), opts()) -> {ok, [node()]} | {error, longnames_dns:reason()}.
members(Name, Opts) -> longnames_dns:members(Name, to_map(Opts)).

%% @equiv await(Name, Count, Timeout, #{})
-spec await(longnames_dns:name(), pos_integer(), timeout()) ->
          {ok, [node()]} | {error, {timeout, {ok, [node()]} | {error, longnames_dns:reason()}}}.
await(Name, Count, Timeout) -> await(Name, Count, Timeout, #{}).

%% @doc Waits until at least so many members are listed, and have been the same for a margin, in milliseconds: the
%% option `margin', by default 2000.
%%
%% The members are sorted, so the first of them is the {@link founder/1. founder}. After the time-out it returns the
%% last answer that there was. An answer that failed in between says nothing, and does not begin the margin anew.
-spec await(longnames_dns:name(), pos_integer(), timeout(), opts()) ->
          {ok, [node()]} | {error, {timeout, {ok, [node()]} | {error, longnames_dns:reason()}}}.
await(Name, Count, Timeout, Opts) ->
    Deadline = case Timeout of infinity -> infinity; _ -> now_ms() + Timeout end,
    await(Name, Count, Deadline, to_map(Opts), {error, timeout}, none).

await(Name, Count, Deadline, Opts, Last, Seen) ->
    Timeout = min(maps:get(timeout, Opts, 5000), left(Deadline)),
    Answer = longnames_dns:members(Name, Opts#{timeout => Timeout}),
    Now = now_ms(),
    Margin = maps:get(margin, Opts, 2000),
    case seen(Answer, Count, Now, Seen) of
        {Members, Since} when element(1, Answer) =:= ok, Now - Since >= Margin -> {ok, Members};
        Seen1 ->
            timer:sleep(min(left(Deadline), 500)),
            case {left(Deadline), Answer} of
                {0, {error, timeout}} -> {error, {timeout, Last}}; % it had no time
                {0, _} -> {error, {timeout, Answer}};
                _ -> await(Name, Count, Deadline, Opts, Answer, Seen1)
            end
    end.

seen({ok, Members}, Count, Now, Seen) when length(Members) >= Count ->
    Sorted = lists:sort(Members),
    case Seen of
        {Sorted, _} -> Seen;
        _ -> {Sorted, Now}
    end;
seen({ok, _}, _, _, _) -> none;
seen({error, _}, _, _, Seen) -> Seen.

%% @equiv founder(Name, #{})
-spec founder(longnames_dns:name()) -> {ok, node()} | {error, longnames_dns:reason()}.
founder(Name) -> founder(Name, #{}).

%% @doc Returns the member that founds the cluster: the first by name. It is the same for all that see the same members.
%%
%% It is no consensus. Nodes that see different sets may have different founders, so {@link await/3} all members there
%% are to be, and take the first of what it returns. A node that starts later has to look for a cluster to join before.
-spec founder(longnames_dns:name(), opts()) -> {ok, node()} | {error, longnames_dns:reason()}.
founder(Name, Opts) ->
    case members(Name, Opts) of
        {ok, Members} -> {ok, lists:min(Members)};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Returns what is known of each cluster that there is a connector for.
-spec status() -> #{Name :: string() => longnames_status:status()}.
status() -> longnames_status:read().

%% @doc Looks for what keeps this node from its cluster, says it, and what to do about it. Returns whether all is well.
-spec check() -> boolean().
check() ->
    longnames_check:print(try longnames_check:findings(to_map(application:get_all_env(longnames)))
                          catch error:{bad_option, Key, Value, Expected} ->
                                  [{error, io_lib:format("The environment has ~ts ~tp: expected ~ts.", [Key, Value, Expected])}]
                          end).

%% @doc Returns what a supervisor needs to start a connector, for an application that does not name its cluster in the
%% environment of this one: see {@link longnames_connector:opts()}.
-spec child_spec(opts()) -> supervisor:child_spec().
child_spec(Opts) -> longnames_connector:child_spec(to_map(Opts)).

to_map(Opts) when is_map(Opts) -> longnames_dns:checked(Opts);
to_map(Opts) -> to_map(maps:from_list(Opts)).

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - now_ms()).

now_ms() -> erlang:monotonic_time(millisecond).
