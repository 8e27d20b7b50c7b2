for word in "$@"; do case $word in --num_runs=*) n=${word#*=} ;; --warmup_runs=*) w=${word#*=} ;; --graph=*) f=${word#*=} ;; esac; done
here=$(dirname $0); echo x >> $here/calls; calls=$(wc -l < $here/calls)
awk -v n=$n -v w=$w -v file=$f -v calls=$calls -v step=$(cat $here/step) 'BEGIN {
    avg = 9000 + 10 * (calls % 3) + step * calls
    print "INFO: STARTING!"
    print "INFO: Log parameter values verbosely: [0]"
    print "INFO: Min num runs: [" n "]"
    print "INFO: Num threads: [1]"
    print "INFO: Min warmup runs: [" w "]"
    print "INFO: Graph: [" file "]"
    print "INFO: Use xnnpack: [1]"
    print "INFO: Loaded model " file
    print "INFO: Initialized TensorFlow Lite runtime."
    print "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
    print "VERBOSE: Replacing 178 out of 180 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions for subgraph 0."
    print "INFO: The input model file size (MB): 24.4412"
    print "INFO: Initialized session in 41.113ms."
    print "INFO: Running benchmark for at least " w " iterations and at least 0 seconds but terminate if exceeding 1800 seconds."
    print "INFO: count=" w " first=12000 curr=9100 min=9000 max=12000 avg=9500.5 std=400 p5=9000 median=9100 p95=11000"
    print ""
    print "INFO: Running benchmark for at least " n " iterations and at least 0 seconds but terminate if exceeding 1800 seconds."
    print "INFO: count=" n " first=9010 curr=8990 min=8900 max=9800 avg=" avg " std=61 p5=8920 median=" avg - 5 " p95=9300"
    print ""
    print "INFO: Inference timings in us: Init: 41113, First inference: 12000, Warmup (avg): 9500.5, Inference (avg): " avg
    print "INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE"
    print "INFO: Memory footprint delta from the start of the tool (MB): init=30.1 overall=38.4"
}'
