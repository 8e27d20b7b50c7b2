for word in "$@"; do case $word in --num_executions=*) n=${word#*=} ;; --model_path=*) f=${word#*=} ;; esac; done
awk -v n=$n -v file=$f 'BEGIN {
    base = file ~ /^1-/ ? 20 : 10
    print "I 00:00:00.000412 executorch:cpuinfo_utils.cpp:71] Reading file /sys/devices/soc0/image_version"
    print "I 00:00:00.001501 executorch:executor_runner.cpp:365] Resetting threadpool with num threads = 1"
    print "I 00:00:00.003987 executorch:executor_runner.cpp:565] Model file " file " is loaded."
    print "I 00:00:00.004058 executorch:executor_runner.cpp:575] Using method forward"
    print "I 00:00:00.033558 executorch:executor_runner.cpp:718] Model loaded in 29.490000 ms."
    total = 0
    for (i = 1; i <= n; i++) {
        ms = base + (i % 5) / 100 + (i == 1 ? 30 : 0); total += ms
        printf "I 00:00:00.%06d executorch:executor_runner.cpp:880] Iteration %d of %d: %f ms\n", i, i, n, ms
    }
    printf "I 00:00:01.075701 executorch:executor_runner.cpp:889] Model executed successfully %d time(s) in %f ms.\n", n, total
    print "I 00:00:01.075801 executorch:executor_runner.cpp:893] 1 outputs: "
    print "OutputX 0: tensor(sizes=[1, 1000], [0.001, 0.002, ...])"
}'
