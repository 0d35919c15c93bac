%% @doc What each connector knows, where it outlives the connector.
%%
%% The table is the supervisor's. Without the application there is none, and a connector works without it.
-module(longnames_status).

-export([new/0, write/2, last/1, opts/2, read/0]).

-export_type([status/0]).

-type status() :: #{members := [node()], connected := [node()], missing := [node()],
                    failing := false | {longnames_dns:reason(), Seconds :: non_neg_integer()},
                    questions := non_neg_integer(), dropped := non_neg_integer(), running := boolean()}.
%% `members': of the last good answer. `missing': those of them that are not connected. `failing': why there is no newer
%% answer, and for how long. `questions': how many the connector has asked. `dropped': how many events the callback has
%% never seen.

-type entry() :: #{pid := pid(), members := [node()], questions := non_neg_integer(), dropped := non_neg_integer(),
                   failing := false | {longnames_dns:reason(), Since :: integer()}, opts := longnames_dns:opts()}.

%% @private
-spec new() -> ok.
new() -> _ = ets:new(?MODULE, [named_table, public]), ok.

%% @private
-spec write(string(), entry()) -> ok.
write(Name, Entry) -> try ets:insert(?MODULE, {Name, Entry}), ok catch error:badarg -> ok end.

%% @private
%% The members that the last connector knew, and whether it failed.
-spec last(string()) -> {[node()], false | {longnames_dns:reason(), Since :: integer()}}.
last(Name) ->
    try ets:lookup(?MODULE, Name) of
        [{_, #{members := Members, failing := Failing}}] -> {Members, Failing};
        [] -> {[], false}
    catch error:badarg -> {[], false}
    end.

%% @private
%% How the connector of a cluster asks. Without one, `Others' are returned.
-spec opts(string(), Others) -> longnames_dns:opts() | Others when Others :: map().
opts(Name, Others) ->
    try ets:lookup_element(?MODULE, Name, 2) of
        #{opts := Opts} -> Opts
    catch error:badarg -> Others
    end.

%% @doc Returns the status of each cluster that there is a connector for.
-spec read() -> #{Name :: string() => status()}.
read() ->
    try ets:tab2list(?MODULE) of
        Entries -> maps:from_list([{Name, status(Entry)} || {Name, Entry} <- Entries])
    catch error:badarg -> #{}
    end.

status(Entry = #{pid := Pid, members := Members, failing := Failing}) ->
    Missing = Members -- [node() | nodes(connected)],
    Status = maps:with([members, questions, dropped], Entry),
    Status#{connected => Members -- [node() | Missing], missing => Missing, failing => failing(Failing),
            running => is_process_alive(Pid)}.

failing(false) -> false;
failing({Reason, Since}) -> {Reason, (erlang:monotonic_time(millisecond) - Since) div 1000}.
